//! Errors as the API tells them: a status and `{"message": …}`.

use bryo_core::ErrorKind;
use http::StatusCode;

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    plain: bool,
}

/// The result of a handler.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    /// An error with a status of its own.
    pub fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        ApiError { status, message: message.into(), plain: false }
    }

    /// The request is wrong.
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    /// A client so old that it expects plain text.
    pub fn too_old(message: impl Into<String>) -> ApiError {
        ApiError { plain: true, ..ApiError::bad_request(message) }
    }

    /// No such path, or not with that method (Docker does not tell them apart).
    pub fn page_not_found() -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "page not found")
    }

    /// Not in this engine.
    pub fn not_implemented(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the body is plain text.
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

impl From<bryo_core::Error> for ApiError {
    fn from(error: bryo_core::Error) -> ApiError {
        let status = match error.kind() {
            ErrorKind::InvalidParameter => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut cause = std::error::Error::source(&error);
        while let Some(reason) = cause {
            tracing::debug!(error = %error, "caused by: {reason}");
            cause = reason.source();
        }
        ApiError::new(status, error.message())
    }
}
