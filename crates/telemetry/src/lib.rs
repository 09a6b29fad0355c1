//! Events in; metrics, access logs, flow logs and traces out; credentials are redacted at this door.
