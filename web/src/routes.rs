//! HTTP: heads into requests, replies into responses; warp is named here and in `connections` alone.
//!
//! One boxed filter takes every request, so that none can pass by the checks of `answer` or leave without the
//! headers that keep a page in its place.

mod connections;

use crate::answer::{Request, answer};
use crate::assets::CONTENT_SECURITY_POLICY;
use crate::reply::{Body, Cut, Reply};
use crate::site::Site;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::path::FullPath;

/// On every reply, whatever it is.
pub const SECURITY_HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Serves until `stop` is done, then lets open connections end what they send.
pub async fn serve(listener: TcpListener, site: Arc<Site>, stop: impl Future<Output = ()> + Send + 'static) {
    let limits = site.config.limits.clone();
    connections::serve(listener, routes(site), limits, stop).await;
}

#[must_use]
pub fn routes(site: Arc<Site>) -> BoxedFilter<(warp::reply::Response,)> {
    warp::method()
        .and(warp::path::full())
        .and(raw_query())
        .and(pairs())
        .and(warp::header::headers_cloned())
        .and(authority())
        .and_then(move |method: Method, path: FullPath, query, pairs, headers: HeaderMap, authority: Option<String>| {
            let site = Arc::clone(&site);
            let request = request(&method, &path, query, pairs, &headers, authority);
            async move { Ok::<_, Infallible>(response(answer(site, request).await)) }
        })
        .boxed()
}

fn raw_query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

fn pairs() -> impl Filter<Extract = (Option<Vec<(String, String)>>,), Error = Infallible> + Clone {
    warp::query::<Vec<(String, String)>>().map(Some).or(warp::any().map(|| None)).unify()
}

/// The host of the request's target or of its header; none when there is none or the two differ.
fn authority() -> impl Filter<Extract = (Option<String>,), Error = Infallible> + Clone {
    let named = warp::host::optional()
        .map(|authority: Option<warp::host::Authority>| authority.map(|authority| authority.as_str().to_owned()));
    named.or(warp::any().map(|| None)).unify()
}

fn request(
    method: &Method,
    path: &FullPath,
    query: String,
    pairs: Option<Vec<(String, String)>>,
    headers: &HeaderMap,
    authority: Option<String>,
) -> Request {
    let text = |name: header::HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
    Request {
        method: method.as_str().to_owned(),
        path: path.as_str().to_owned(),
        query,
        pairs,
        host: authority.as_deref().map(host_of),
        authority,
        // A header that is no text is still a header.
        origin: headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("unreadable").to_owned()),
        fetch_site: headers.get("sec-fetch-site").map(|site| site.to_str().unwrap_or("unreadable").to_owned()),
        accept: text(header::ACCEPT),
        accept_encoding: text(header::ACCEPT_ENCODING),
        if_none_match: text(header::IF_NONE_MATCH),
        is_marked: headers.get("x-tailbuck").is_some_and(|mark| mark == "1"),
        body_bytes: body_bytes(headers),
    }
}

/// How long the body is; unknown when it comes in chunks.
fn body_bytes(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    headers.get(header::CONTENT_LENGTH).map_or(Some(0), |length| length.to_str().ok()?.parse().ok())
}

/// The authority without its port.
fn host_of(authority: &str) -> String {
    let end = if authority.starts_with('[') { authority.find(']').map(|at| at + 1) } else { authority.rfind(':') };
    authority.get(..end.unwrap_or(authority.len())).unwrap_or_default().to_owned()
}

fn response(reply: Reply) -> warp::reply::Response {
    let mut response = match reply.body {
        Body::Whole(bytes) => warp::reply::Response::new(bytes.into()),
        Body::Stream(stream) => warp::reply::Reply::into_response(warp::reply::stream(Shared(Mutex::new(stream)))),
    };
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(reply.cache_control));
    if reply.is_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if reply.etag.is_some() {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(etag) = reply.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// A stream that may be named from many threads, as warp asks, because only its owner can poll it.
struct Shared(Mutex<BoxStream<'static, Result<Bytes, Cut>>>);

impl Stream for Shared {
    type Item = Result<Bytes, Cut>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(context)
    }
}
