//! The codes of findings about reading (layer 0). One line a code, sorted; never reused.

use ringwall_model::Code;

/// Bytes that are not UTF-8.
pub const ENCODING: Code = Code(1);
/// Not YAML or JSON.
pub const SYNTAX: Code = Code(2);
/// A key stands twice in one map.
pub const DUPLICATE_KEY: Code = Code(3);
/// Nested too deeply.
pub const DEPTH: Code = Code(4);
/// The file is too large, or has too many nodes.
pub const SIZE: Code = Code(5);
/// Aliases that multiply.
pub const ALIAS: Code = Code(6);
/// A key that is a list or a map.
pub const KEY: Code = Code(7);
/// A YAML tag that has no meaning here.
pub const TAG: Code = Code(8);
/// A document that is not a map.
pub const NOT_A_MAP: Code = Code(10);
/// `apiVersion`, `kind` or `metadata.name` is missing.
pub const NO_KIND: Code = Code(11);
/// A kind that nobody here knows.
pub const UNKNOWN_KIND: Code = Code(12);
/// A kind that is known, in a version that is not served.
pub const VERSION: Code = Code(13);
/// A scalar that means one thing in YAML 1.1 and another in YAML 1.2.
pub const SCALAR: Code = Code(14);
/// A file of a form that nobody here reads.
pub const FORMAT: Code = Code(15);
/// Two resources of one kind, namespace and name.
pub const DUPLICATE_RESOURCE: Code = Code(16);
/// A field that its kind does not have.
pub const UNKNOWN_FIELD: Code = Code(20);
/// A value of the wrong type.
pub const TYPE: Code = Code(21);
/// A value of the right type that is not allowed.
pub const VALUE: Code = Code(22);
/// A field that must be there.
pub const REQUIRED: Code = Code(23);
/// A field that is known and not enforced.
pub const IGNORED: Code = Code(24);
/// A kind that is read and not enforced by this build.
pub const NOT_ENFORCED: Code = Code(25);
/// A line of a script that one of our commands does better.
pub const SCRIPT: Code = Code(30);
/// Something named by a policy that nothing declares; a stand-in was made.
pub const STAND_IN: Code = Code(31);
