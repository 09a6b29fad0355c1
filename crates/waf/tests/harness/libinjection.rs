//! What the current C library says, case by case.
