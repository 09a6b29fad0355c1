//! What libinjection takes for a script: tags, attributes, schemes of addresses, comments.

use super::html::{Html, Kind};

/// What the value of an attribute may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Harmless,
    /// Never harmless.
    Black,
    /// An address.
    Address,
    /// The name of another attribute.
    Indirect,
}

/// Tags that bring scripts, beside all that begin with `svg` and `xsl`.
#[rustfmt::skip]
const TAGS: [&[u8]; 20] = [
    b"applet", b"base", b"comment", b"embed", b"frame", b"frameset", b"handler", b"iframe", b"import", b"isindex",
    b"link", b"listener", b"meta", b"noscript", b"object", b"script", b"style", b"vmlframe", b"xml", b"xss",
];

/// Attributes by name.
const ATTRIBUTES: [(&[u8], Attribute); 20] = [
    (b"action", Attribute::Address),
    (b"attributename", Attribute::Indirect),
    (b"background", Attribute::Address),
    (b"by", Attribute::Address),
    (b"dataformatas", Attribute::Black),
    (b"datasrc", Attribute::Black),
    (b"dynsrc", Attribute::Address),
    (b"filter", Attribute::Black),
    (b"folder", Attribute::Address),
    (b"formaction", Attribute::Address),
    (b"from", Attribute::Address),
    (b"handler", Attribute::Address),
    (b"href", Attribute::Address),
    (b"lowsrc", Attribute::Address),
    (b"poster", Attribute::Address),
    (b"src", Attribute::Address),
    (b"style", Attribute::Black),
    (b"to", Attribute::Address),
    (b"values", Attribute::Address),
    (b"xlink:href", Attribute::Address),
];

/// What the name of an event begins with, after `on`; sorted. A name that another one begins is left out.
#[rustfmt::skip]
const EVENTS: [&str; 254] = [
    "abort", "activate", "active", "addsourcebuffer", "addstream", "addtrack", "afterprint", "animationcancel",
    "animationend", "animationiteration", "animationstart", "audioend", "audioprocess", "audiostart", "autocomplete",
    "beforeactivate", "beforecopy", "beforecut", "beforeinput", "beforeload", "beforepaste", "beforeprint",
    "beforeunload", "beginevent", "blocked", "blur", "boundary", "bufferedamountlow", "cached", "cancel", "canplay",
    "change", "chargingchange", "chargingtimechange", "checking", "click", "close", "complete", "compositionend",
    "compositionstart", "compositionupdate", "connect", "contextmenu", "controllerchange", "copy", "cuechange", "cut",
    "dataavailable", "datachannel", "dblclick", "devicechange", "devicemotion", "deviceorientation",
    "dischargingtimechange", "disconnect", "domactivate", "domcharacterdatamodified", "domcontentloaded",
    "domfocusin", "domfocusout", "domnodeinserted", "domnoderemoved", "domsubtreemodified", "downloading", "drag",
    "drop", "durationchange", "emptied", "encrypted", "end", "enter", "error", "exit", "fetch", "finish", "focus",
    "formchange", "forminput", "gamepadconnected", "gamepaddisconnected", "gesturechange", "gestureend",
    "gesturescrollend", "gesturescrollstart", "gesturescrollupdate", "gesturestart", "gesturetap",
    "gotpointercapture", "hashchange", "icecandidate", "iceconnectionstatechange", "icegatheringstatechange",
    "inactive", "input", "install", "invalid", "keydown", "keypress", "keystatuseschange", "keyup", "languagechange",
    "leavepictureinpicture", "levelchange", "load", "lostpointercapture", "mark", "merchantvalidation", "message",
    "mousedown", "mouseenter", "mouseleave", "mousemove", "mouseout", "mouseover", "mouseup", "mousewheel", "mute",
    "negotiationneeded", "nexttrack", "nomatch", "noupdate", "obsolete", "offline", "online", "open",
    "orientationchange", "overconstrained", "overflowchanged", "pagehide", "pageshow", "paste", "pause",
    "payerdetailchange", "paymentauthorized", "paymentmethodchange", "paymentmethodselected", "play", "pointercancel",
    "pointerdown", "pointerenter", "pointerleave", "pointerlockchange", "pointerlockerror", "pointermove",
    "pointerout", "pointerover", "pointerup", "popstate", "previoustrack", "processorerror", "progress",
    "propertychange", "ratechange", "readystatechange", "rejectionhandled", "remove", "reset", "resize",
    "resourcetimingbufferfull", "result", "resume", "scroll", "search", "securitypolicyviolation", "seeked",
    "seeking", "select", "shippingaddresschange", "shippingcontactselected", "shippingmethodselected",
    "shippingoptionchange", "show", "signalingstatechange", "slotchange", "soundend", "soundstart", "sourceclose",
    "sourceended", "sourceopen", "speechend", "speechstart", "squeeze", "stalled", "start", "statechange", "stop",
    "storage", "submit", "success", "suspend", "textinput", "timeout", "timeupdate", "toggle", "tonechange",
    "touchcancel", "touchend", "touchforcechange", "touchmove", "touchstart", "track", "transitioncancel",
    "transitionend", "transitionrun", "transitionstart", "uncapturederror", "unhandledrejection", "unload", "unmute",
    "update", "upgradeneeded", "validatemerchant", "versionchange", "visibilitychange", "volumechange", "waiting",
    "webglcontextchanged", "webglcontextcreationerror", "webglcontextlost", "webglcontextrestored",
    "webkitanimationend", "webkitanimationiteration", "webkitanimationstart", "webkitbeforetextinserted",
    "webkitbeginfullscreen", "webkitcurrentplaybacktargetiswirelesschanged", "webkitendfullscreen",
    "webkitfullscreenchange", "webkitfullscreenerror", "webkitkeyadded", "webkitkeyerror", "webkitkeymessage",
    "webkitmouseforcechanged", "webkitmouseforcedown", "webkitmouseforceup", "webkitmouseforcewillbegin",
    "webkitneedkey", "webkitnetworkinfochange", "webkitplaybacktargetavailabilitychanged",
    "webkitpresentationmodechanged", "webkitregionoversetchange", "webkitremovesourcebuffer", "webkitsourceclose",
    "webkitsourceended", "webkitsourceopen", "webkitspeechchange", "webkittransitionend", "webkitwillrevealbottom",
    "webkitwillrevealleft", "webkitwillrevealright", "webkitwillrevealtop", "wheel", "write", "zoom",
];

/// Whether one of the tokens is a script.
pub(super) fn is_black(html: Html<'_>) -> bool {
    let mut attribute = Attribute::Harmless;
    for piece in html {
        match piece.kind {
            Kind::Doctype => return true,
            Kind::TagOpen if is_black_tag(piece.text) => return true,
            Kind::Name => attribute = self::attribute(piece.text),
            Kind::Value => {
                let black = match attribute {
                    Attribute::Harmless => false,
                    Attribute::Black => true,
                    Attribute::Address => is_black_address(piece.text),
                    Attribute::Indirect => self::attribute(piece.text) != Attribute::Harmless,
                };
                if black {
                    return true;
                }
                attribute = Attribute::Harmless;
            }
            Kind::Comment if is_black_comment(piece.text) => return true,
            _ => attribute = Attribute::Harmless,
        }
    }
    false
}

/// Whether a text is this word, whatever its case, NUL bytes passed over.
fn is_word(text: &[u8], word: &[u8]) -> bool {
    let kept = || text.iter().filter(|byte| **byte != 0);
    text.len() >= word.len()
        && kept().zip(word).all(|(byte, wanted)| byte.to_ascii_lowercase() == *wanted)
        && kept().count() == word.len()
}

fn starts(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn is_black_tag(name: &[u8]) -> bool {
    if name.len() < 3 {
        return false;
    }
    starts(name, b"svg") || starts(name, b"xsl") || TAGS.iter().any(|tag| is_word(name, tag))
}

fn attribute(name: &[u8]) -> Attribute {
    if name.len() < 2 {
        return Attribute::Harmless;
    }
    if name.len() >= 5 {
        let is_event = starts(name, b"on") && begins_event(name.get(2..).unwrap_or_default());
        let five = name.get(..5).unwrap_or_default();
        if is_event || is_word(five, b"xmlns") || is_word(five, b"xlink") {
            return Attribute::Black;
        }
    }
    ATTRIBUTES.iter().find(|(known, _)| is_word(name, known)).map_or(Attribute::Harmless, |(_, kind)| *kind)
}

fn begins_event(name: &[u8]) -> bool {
    EVENTS.iter().any(|event| starts(name, event.as_bytes()))
}

/// `data:`, `view-source:`, `java…:`, `vbscript:`, however it is written.
fn is_black_address(value: &[u8]) -> bool {
    let start = value.iter().position(|byte| (33..127).contains(byte)).unwrap_or(value.len());
    let value = value.get(start..).unwrap_or_default();
    let schemes: [&[u8]; 4] = [b"DATA", b"VIEW-SOURCE", b"JAVA", b"VBSCRIPT"];
    schemes.iter().any(|scheme| decoded_starts(value, scheme))
}

/// Whether a text begins with a word once its character references are resolved; control bytes before it, NUL and line
/// feeds in it are passed over.
fn decoded_starts(text: &[u8], word: &[u8]) -> bool {
    let (mut rest, mut word, mut first) = (text, word, true);
    while !rest.is_empty() {
        let Some((wanted, left)) = word.split_first() else { return true };
        let (code, used) = character(rest);
        rest = rest.get(used..).unwrap_or_default();
        if first && code <= 32 {
            continue;
        }
        first = false;
        if code == 0 || code == 10 {
            continue;
        }
        // Only the low byte is compared, as C does.
        let upper = if (97..=122).contains(&code) { code - 32 } else { code };
        if (upper & 0xff) as u8 != *wanted {
            return false;
        }
        word = left;
    }
    word.is_empty()
}

/// The character at the begin of a text, and how many bytes it takes. Named references are not resolved.
fn character(text: &[u8]) -> (u32, usize) {
    let raw = (text.first().copied().map_or(0, u32::from), 1);
    let (radix, from) = match text {
        [b'&', b'#', b'x' | b'X', ..] => (16, 3),
        [b'&', b'#', ..] => (10, 2),
        _ => return raw,
    };
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(radix));
    let Some(mut code) = digit(from) else { return raw };
    let mut at = from + 1;
    while let Some(next) = digit(at) {
        code = code * radix + next;
        if code > 0x10_00ff {
            return raw;
        }
        at += 1;
    }
    (code, at + usize::from(text.get(at) == Some(&b';')))
}

/// Comments that old browsers run.
fn is_black_comment(text: &[u8]) -> bool {
    memchr::memchr(b'`', text).is_some()
        || text.len() > 3 && (starts(text, b"[if") || starts(text, b"xml"))
        || text.len() > 5 && text.get(..6).is_some_and(|six| is_word(six, b"import") || is_word(six, b"entity"))
}
