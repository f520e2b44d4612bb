//! Rights of a request to `/v1/admin`, by the token that it sends.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use csm_shared::process::connections::Peer;
use serde::Serialize;

use crate::app::App;
use crate::http::Problem;
use crate::http::request_id::RequestId;
use crate::resources::peer;

/// Scheme of the `Authorization` header. Another scheme is the matter of a proxy.
const SCHEME: &str = "Bearer";

/// Rights of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Access {
    /// The request may read numbers. The gateway has no token, so nobody may do more.
    OperationsOff,
    /// The request may read numbers. It sent no token.
    ReadOnly,
    /// The request may read all, and operate.
    Operator,
}

impl Access {
    /// Returns whether the request sent the token.
    pub(super) fn is_operator(self) -> bool {
        self == Self::Operator
    }

    /// Reads the token of a request.
    ///
    /// # Errors
    /// A token that is not the operators'.
    fn of(parts: &Parts, app: &App) -> Result<Self, Problem> {
        let Some(token) = &app.admin_token else { return Ok(Self::OperationsOff) };
        match bearer(parts) {
            None => Ok(Self::ReadOnly),
            Some(sent) if token.is(sent) => Ok(Self::Operator),
            Some(_) => {
                tracing::warn!(peer = %peer(&parts.extensions), "refusing wrong admin token");
                Err(Problem::admin_token("The token is not that of this gateway's operators."))
            }
        }
    }
}

impl FromRequestParts<App> for Access {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Self::of(parts, app)
    }
}

/// Caller who sent the operators' token. Every operation takes one.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    /// Other end of the connection, which may be a proxy.
    pub(super) peer: Peer,
    /// Id of the request, which a proxy may have given.
    pub(super) request: String,
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Access::of(parts, app)? {
            Access::OperationsOff => Err(Problem::admin_off()),
            Access::ReadOnly => Err(Problem::admin_token("The request sends no token.")),
            Access::Operator => {
                let request = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
                Ok(Self { peer: peer(&parts.extensions), request })
            }
        }
    }
}

/// Returns the token that a request sends, if it sends one.
fn bearer(parts: &Parts) -> Option<&[u8]> {
    let (scheme, token) = parts.headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(SCHEME.len())?;
    let token = token.strip_prefix(b" ")?;
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes()).then(|| token.trim_ascii())
}
