//! Service of one connection: the router, with the activity of the connection kept up to date.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, StatusCode, Version};
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::progress_io::ConnectionHandle;
use super::registry::{Activity, Peer};

/// Router of one connection. Each request carries the connection's [`Peer`] and
/// [`ConnectionHandle`] as extensions. Once `stop` is cancelled, each answer is the connection's last.
pub(super) struct Tracked {
    router: Router,
    activity: Arc<Activity>,
    peer: Peer,
    handle: ConnectionHandle,
    stop: CancellationToken,
}

impl Tracked {
    pub(super) const fn new(
        router: Router,
        activity: Arc<Activity>,
        peer: Peer,
        handle: ConnectionHandle,
        stop: CancellationToken,
    ) -> Self {
        Self { router, activity, peer, handle, stop }
    }
}

impl hyper::service::Service<Request<Incoming>> for Tracked {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_progress = InProgress::begin(&self.activity);
        // HTTP/2 has a message of its own for the end, and no such header.
        let may_close = request.version() < Version::HTTP_2;
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.handle.clone());
        let (answer, stop) = (self.router.clone().oneshot(request), self.stop.clone());
        Box::pin(async move {
            let mut response = answer.await?;
            // hyper closes the connection behind such an answer. An upgrade has a `Connection` of its own.
            if may_close && stop.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| TrackedBody { body, _in_progress: in_progress }))
        })
    }
}

/// Request in progress: from its head to the end of its answer.
struct InProgress(Arc<Activity>);

impl InProgress {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.begin();
        Self(Arc::clone(activity))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Body of an answer. The request counts as in progress until the body is dropped.
pub(super) struct TrackedBody {
    body: Body,
    _in_progress: InProgress,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
