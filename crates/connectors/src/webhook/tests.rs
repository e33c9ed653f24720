//! Tests against a small server of our own.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::Webhook;

/// Answers one request with `answer`; the request as it came.
fn serve(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://{}/hook/TOKEN?secret=TOKEN",
        listener.local_addr().unwrap()
    );
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&request).ends_with('}') {
            let read = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, server)
}

async fn post(url: &str) -> Result<(), super::WebhookError> {
    Webhook::default()
        .post(url, "alert-7-firing", br#"{"alert":"a"}"#.to_vec())
        .await
}

#[tokio::test]
async fn sends_json_with_its_key() {
    let (url, server) = serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    post(&url).await.unwrap();
    let request = server.join().unwrap();
    let lower = request.to_lowercase();
    assert!(
        request.starts_with("POST /hook/TOKEN?secret=TOKEN HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        lower.contains("idempotency-key: alert-7-firing\r\n")
            && lower.contains("content-type: application/json\r\n"),
        "{request}"
    );
    assert!(request.ends_with(r#"{"alert":"a"}"#));
}

#[tokio::test]
async fn refusals_are_told_apart_and_hold_no_secret() {
    let cases = [
        (
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops",
            false,
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
        ("garbage\r\n\r\n", false),
    ];
    for (answer, permanent) in cases {
        let (url, server) = serve(answer);
        let error = post(&url).await.unwrap_err();
        assert_eq!(error.permanent, permanent, "{error}");
        assert!(
            !error.message.contains("TOKEN") && error.message.starts_with("webhook at 127.0.0.1"),
            "{error}"
        );
        server.join().unwrap();
    }
}

#[tokio::test]
async fn nobody_there_or_no_url() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = post(&format!("http://{free}/TOKEN")).await.unwrap_err();
    assert!(
        !error.permanent && !error.message.contains("TOKEN"),
        "{error}"
    );
    for url in ["", "TOKEN", "ftp://host/TOKEN", "http://"] {
        let error = post(url).await.unwrap_err();
        assert!(
            error.permanent && !error.message.contains("TOKEN"),
            "{error}"
        );
    }
}
