//! The service, without HTTP.
