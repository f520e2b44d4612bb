//! A real S3 protocol server over TCP, in this process, on a folder.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Access key that the server knows.
pub const ACCESS_KEY: &str = "AKIDTEST";
/// Secret of [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "test-secret";
/// Bucket that exists from the start.
pub const BUCKET: &str = "audio-test";

/// What the server lets a caller with the right key do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum S3Rights {
    /// Everything.
    #[default]
    All,
    /// Everything but writing objects.
    ReadOnly,
    /// Nothing: the credentials have expired.
    Expired,
}

/// Guard of the server's operations.
struct Guard(Arc<Mutex<S3Rights>>);

impl Guard {
    fn decide(&self, cx: &S3AccessContext<'_>) -> S3Result<()> {
        match *self.0.lock().unwrap() {
            _ if cx.credentials().is_none() => Err(s3_error!(AccessDenied)),
            S3Rights::Expired => Err(s3_error!(ExpiredToken, "The provided token has expired.")),
            S3Rights::ReadOnly if cx.s3_op().name() == "PutObject" => Err(s3_error!(AccessDenied)),
            S3Rights::All | S3Rights::ReadOnly => Ok(()),
        }
    }
}

impl S3Access for Guard {
    // The signature that the macro of `async-trait` makes.
    fn check<'guard, 'context, 'request, 'answer>(
        &'guard self,
        cx: &'context mut S3AccessContext<'request>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'answer>>
    where
        'guard: 'answer,
        'context: 'answer,
        'request: 'answer,
        Self: 'answer,
    {
        Box::pin(ready(self.decide(cx)))
    }
}

/// S3 server that runs until it is dropped.
pub struct S3Server {
    /// Address of the server.
    pub address: SocketAddr,
    rights: Arc<Mutex<S3Rights>>,
    root: TempDir,
    serving: JoinHandle<()>,
}

impl S3Server {
    /// Starts a server with one empty bucket, [`BUCKET`].
    pub async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let rights = Arc::new(Mutex::new(S3Rights::default()));
        service.set_access(Guard(Arc::clone(&rights)));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    // A client that hangs up is not a fault of the server.
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { address, rights, root, serving }
    }

    /// Changes what callers may do from now on.
    pub fn set_rights(&self, rights: S3Rights) {
        *self.rights.lock().unwrap() = rights;
    }

    /// Returns the file in which the server keeps an object.
    pub fn object_path(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
