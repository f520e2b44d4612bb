use super::*;

/// Longest time of any step on a slow machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Starts a server that sends all data back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn connected() -> (FaultProxy, TcpStream) {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, stream)
}

async fn heard(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut answer = vec![0; length];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    answer
}

/// Waits until the other end has closed the connection.
async fn closed(stream: &mut TcpStream) {
    let mut rest = [0; 1];
    let read = tokio::time::timeout(LIMIT, stream.read(&mut rest)).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_delay_counts_in_each_direction_and_keeps_the_order() {
    let (proxy, mut stream) = connected().await;
    stream.write_all(b"a").await.unwrap();
    assert_eq!(heard(&mut stream, 1).await, b"a");

    let each_way = Duration::from_millis(200);
    proxy.delay(each_way);
    let begin = Instant::now();
    stream.write_all(b"b").await.unwrap();
    // The second block is passed on without a delay of its own, but not before the first.
    while begin.elapsed() < each_way / 2 {
        tokio::task::yield_now().await;
    }
    proxy.delay(Duration::ZERO);
    stream.write_all(b"c").await.unwrap();
    assert_eq!(heard(&mut stream, 2).await, b"bc");
    assert!(begin.elapsed() >= each_way, "{:?}", begin.elapsed());

    proxy.delay(each_way);
    let begin = Instant::now();
    stream.write_all(b"d").await.unwrap();
    assert_eq!(heard(&mut stream, 1).await, b"d");
    assert!(begin.elapsed() >= 2 * each_way, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_stalled_line_loses_nothing_and_passes_nothing() {
    let (proxy, mut stream) = connected().await;
    proxy.stall(true);
    let data: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    let (mut from, mut to) = stream.split();
    let write = async {
        to.write_all(&data).await.unwrap();
    };
    let read = async {
        let mut first = [0; 1];
        let silent = tokio::time::timeout(Duration::from_millis(100), from.read(&mut first)).await;
        assert!(silent.is_err(), "nothing passes a stalled line");
        proxy.stall(false);
        let mut answer = vec![0; data.len()];
        tokio::time::timeout(LIMIT, from.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, data);
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn a_cut_ends_what_is_open_and_lets_new_ones_in() {
    let (proxy, mut stream) = connected().await;
    stream.write_all(b"a").await.unwrap();
    heard(&mut stream, 1).await;
    proxy.cut();
    closed(&mut stream).await;

    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    again.write_all(b"b").await.unwrap();
    assert_eq!(heard(&mut again, 1).await, b"b");
}

#[tokio::test]
async fn a_refusing_proxy_closes_new_connections_and_keeps_old_ones() {
    let (proxy, mut old) = connected().await;
    old.write_all(b"a").await.unwrap();
    heard(&mut old, 1).await;
    proxy.refuse(true);
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    closed(&mut new).await;
    old.write_all(b"b").await.unwrap();
    assert_eq!(heard(&mut old, 1).await, b"b");

    proxy.heal();
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    new.write_all(b"c").await.unwrap();
    assert_eq!(heard(&mut new, 1).await, b"c");
}
