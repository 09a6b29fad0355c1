"""Variants of the requests of the WAF bench: ids, numbers and words vary, lengths and what is an attack do not.

A variant differs from its original in every number and id of its cookies, arguments, fields and body, and in every fifth
word of its prose, taken from the original's own words of the same length. Two variants are never equal, so that an
engine that remembers verdicts or values of an earlier transaction would gain nothing.
"""
import random, re, struct

# Numbers that mean something to rules or parsers stay as they are.
KEPT_FIELDS = re.compile(rb"^(content-length|content-type|user-agent|accept.*|sec-.*|host|connection|upgrade.*|origin)$", re.I)
HEX = re.compile(rb"(?<![0-9A-Za-z%])[0-9a-f]{8,40}(?![0-9A-Za-z])")
NUMBER = re.compile(rb"(?<![0-9A-Za-z%.$])[1-9][0-9]{1,11}(?![0-9A-Za-z:;.,]?[0-9=])")
WORD = re.compile(rb"(?<![A-Za-z%\\<])[a-z]{3,8}(?=[ ,.+?])")
# What makes an attack an attack, and what addresses of files and hosts are made of.
FIXED = re.compile(rb"https?|etc|passwd|script|select|union|from|where|cat|and|not|time|null|true|false|image|form|data")


def variants(raw, count, seed):
    """So many variants of a request as bytes."""
    head, _, body = raw.partition(b"\r\n\r\n")
    prose = [word for word in set(WORD.findall(body)) if not FIXED.search(word)]
    by_length = {length: sorted(word for word in prose if len(word) == length) for length in set(map(len, prose))}
    kind = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-type:")), b"")
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        lines = head.split(b"\r\n")
        lines[0] = target(lines[0], chance)
        lines[1:] = [field(line, chance) for line in lines[1:]]
        yield b"\r\n".join(lines) + b"\r\n\r\n" + varied_body(body, kind, by_length, chance)


def target(line, chance):
    method, where, version = line.split(b" ")
    return b" ".join([method, ids(where, chance), version])


def field(line, chance):
    name, _, value = line.partition(b":")
    return line if KEPT_FIELDS.match(name) else name + b":" + ids(value, chance)


def varied_body(body, kind, by_length, chance):
    if b"multipart" in kind:
        # Lines of the parts' heads stay; of the file every 64th byte within its content varies.
        start = body.find(b"\r\n\r\n", body.find(b"filename=")) + 4
        end = body.rfind(b"\r\n--")
        content = bytearray(body[start:end])
        for at in range(0, len(content), 64):
            if content[at] not in b"\r\n-":
                content[at] = chance.randrange(0x80, 0x100)
        return words(body[:start], by_length, chance) + bytes(content) + body[end:]
    return ids(words(body, by_length, chance), chance)


def ids(text, chance):
    def hexadecimal(match):
        is_id = re.search(rb"[0-9]", match[0]) and re.search(rb"[a-f]", match[0])
        return bytes(chance.choice(b"0123456789abcdef") for _ in match[0]) if is_id else match[0]
    text = HEX.sub(hexadecimal, text)
    return NUMBER.sub(lambda m: bytes([chance.choice(b"123456789")] + [chance.choice(b"0123456789") for _ in m[0][1:]]), text)


def words(text, by_length, chance):
    def other(match):
        same = by_length.get(len(match[0]))
        return chance.choice(same) if same and match[0] in same and chance.random() < 0.2 else match[0]
    return WORD.sub(other, text)


def write(path, requests):
    with open(path, "wb") as file:
        for request in requests:
            file.write(struct.pack("<I", len(request)) + request)
