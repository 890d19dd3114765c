//! Other people's formats as plain data, without decisions: [`docker`] is the JSON of the Docker Engine API.
//!
//! Nothing here knows the engine; the doors (`engine/api`) translate to and from the engine's own vocabulary, and the
//! command line (`apps/bryo`) reads the same types from the other end of the socket.

pub mod docker;
