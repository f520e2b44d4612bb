//! Conversion of the S3 client's errors to the store's error classes.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::StoreError;

/// Error codes of denied access; AWS answers some of them with status 400.
const DENIED_CODES: [&str; 6] = [
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

/// Returns the class of a failed operation on the object `name`.
pub(super) fn class_of<E>(name: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let detail = format!("{name}: {}", DisplayErrorContext(error));
    match error {
        SdkError::TimeoutError(_) => StoreError::Timeout(detail),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => StoreError::Timeout(detail),
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => StoreError::Unavailable(detail),
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or_default();
            class_of_answer(answer.raw().status().as_u16(), code, name, detail)
        }
        // The request could not even be built: there are no credentials to sign it with.
        _ => StoreError::Denied(detail),
    }
}

/// Returns the class of a failed check of the bucket itself. Here "not found" means that the
/// setting is wrong.
pub(super) fn bucket_class<E>(bucket: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match class_of(bucket, error) {
        StoreError::NotFound(_) => no_bucket(bucket),
        other => other,
    }
}

fn no_bucket(detail: &str) -> StoreError {
    StoreError::Invalid(format!("CSM_STORE: no such bucket: {detail}"))
}

fn class_of_answer(status: u16, code: &str, name: &str, detail: String) -> StoreError {
    match (status, code) {
        (_, "NoSuchBucket") => no_bucket(&detail),
        (_, code) if DENIED_CODES.contains(&code) => StoreError::Denied(detail),
        (404, _) => StoreError::NotFound(name.to_owned()),
        (401 | 403, _) => StoreError::Denied(detail),
        (408 | 429 | 500.., _) => StoreError::Unavailable(detail),
        _ => StoreError::Invalid(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_fall_into_classes() {
        let class = |status, code| class_of_answer(status, code, "key", "detail".to_owned());
        assert!(matches!(class(404, "NoSuchKey"), StoreError::NotFound(_)));
        assert!(matches!(class(404, ""), StoreError::NotFound(_)), "HEAD answers carry no code");
        assert!(matches!(class(404, "NoSuchBucket"), StoreError::Invalid(_)), "a lost bucket is not a lost object");
        assert!(matches!(class(403, "AccessDenied"), StoreError::Denied(_)));
        assert!(matches!(class(400, "ExpiredToken"), StoreError::Denied(_)));
        assert!(matches!(class(503, "SlowDown"), StoreError::Unavailable(_)));
        assert!(matches!(class(429, ""), StoreError::Unavailable(_)));
        assert!(matches!(class(416, "InvalidRange"), StoreError::Invalid(_)));
    }
}
