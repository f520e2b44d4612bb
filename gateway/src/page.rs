//! The page at `/`: type a line, hear it while it is made. The page at `/admin`: what operators see and
//! do. Plain HTML, CSS and JavaScript, embedded.
//!
//! The pages use the public API alone, so their files are all that is here. They load nothing from
//! elsewhere, and their content security policy forbids it.

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::routing::get;

use crate::app::App;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Sources that a page may use: its own gateway, for everything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types 'none'";

/// Path, media type and content of one file.
type Asset = (&'static str, &'static str, &'static str);

macro_rules! asset {
    ($file:literal, $media_type:expr) => {
        (concat!("/", $file), $media_type, include_str!(concat!("page/assets/", $file)))
    };
}

/// Files of the pages.
static ASSETS: [Asset; 21] = [
    ("/", HTML, include_str!("page/assets/index.html")),
    asset!("style.css", CSS),
    asset!("controls.css", CSS),
    asset!("speech.css", CSS),
    asset!("side.css", CSS),
    asset!("icon.svg", SVG),
    asset!("page.js", SCRIPT),
    asset!("session.js", SCRIPT),
    asset!("player.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("form.js", SCRIPT),
    asset!("history.js", SCRIPT),
    asset!("result.js", SCRIPT),
    asset!("sentences.js", SCRIPT),
    asset!("wave.js", SCRIPT),
    asset!("fleet.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    ("/admin", HTML, include_str!("page/assets/admin.html")),
    asset!("admin.css", CSS),
    asset!("admin.js", SCRIPT),
    asset!("admin_view.js", SCRIPT),
];

/// Makes the routes of the pages' files.
pub(crate) fn routes() -> Router<App> {
    ASSETS.iter().fold(Router::new(), |router, &(path, media_type, content)| {
        let headers: [(HeaderName, &str); 4] = [
            (CONTENT_TYPE, media_type),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
        ];
        router.route(path, get(async move || (headers, content)))
    })
}
