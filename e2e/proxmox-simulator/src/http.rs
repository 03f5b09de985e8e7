//! HTTP/1.1 as the API daemon speaks it. Written by hand, because what matters here is where that daemon differs
//! from a usual server: reason phrases with whole sentences, no chunked bodies, no bodies where it expects none, a
//! form parser of its own, and a connection that ends with every error.

pub(crate) mod answer;
pub(crate) mod connection;
pub(crate) mod form;
pub(crate) mod head;
pub(crate) mod multipart;
