//! The engine against foreign truth: the Core Rule Set's regression tests, libinjection's verdicts.

mod harness;
