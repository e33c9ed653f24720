//! The queries, as Nexmark describes them, in Headwater's SQL.
//!
//! Without q10 (a sink into files) and q12 (windows of processing time): they have no result that a batch could give.

/// One query of the benchmark.
pub(super) struct Query {
    pub name: &'static str,
    pub what: &'static str,
    pub sql: &'static str,
    /// Thousands of events a second of Flink SQL 2.3 on the machine that `docs/benchmarks.md` tells of, where measured.
    pub flink: Option<f64>,
}

/// The topic as rows, and its three kinds of events as views.
pub(super) const SOURCE: &str = "
CREATE SOURCE {topic} (
  event_type INT,
  ts TIMESTAMPTZ,
  person STRUCT<id BIGINT, name TEXT, email_address TEXT, credit_card TEXT, city TEXT, state TEXT, date_time BIGINT, extra TEXT>,
  auction STRUCT<id BIGINT, item_name TEXT, description TEXT, initial_bid BIGINT, reserve BIGINT, date_time BIGINT,
                 expires TIMESTAMPTZ, seller BIGINT, category BIGINT, extra TEXT>,
  bid STRUCT<auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, date_time BIGINT, extra TEXT>,
  WATERMARK FOR ts AS ts - INTERVAL '4 seconds'
) WITH (connector = 'topic', topic = '{topic}', format = 'json');
CREATE VIEW person AS SELECT e.person.id AS id, e.person.name AS name, e.person.email_address AS email_address,
  e.person.credit_card AS credit_card, e.person.city AS city, e.person.state AS state, ts AS dt, e.person.extra AS extra
  FROM {topic} e WHERE event_type = 0;
CREATE VIEW auction AS SELECT e.auction.id AS id, e.auction.item_name AS item_name, e.auction.description AS description,
  e.auction.initial_bid AS initial_bid, e.auction.reserve AS reserve, ts AS dt, e.auction.expires AS expires,
  e.auction.seller AS seller, e.auction.category AS category, e.auction.extra AS extra FROM {topic} e WHERE event_type = 1;
CREATE VIEW bid AS SELECT e.bid.auction AS auction, e.bid.bidder AS bidder, e.bid.price AS price, e.bid.channel AS channel,
  e.bid.url AS url, ts AS dt, e.bid.extra AS extra FROM {topic} e WHERE event_type = 2;
";

pub(super) const QUERIES: &[Query] = &[
    Query { name: "q0", what: "pass through", flink: Some(171.0), sql: "SELECT auction, bidder, price, dt FROM bid" },
    Query { name: "q1", what: "currency", flink: Some(185.0),
        sql: "SELECT auction, bidder, price * 908 / 1000 AS price, dt FROM bid" },
    Query { name: "q2", what: "selection", flink: None, sql: "SELECT auction, price FROM bid WHERE auction % 123 = 0" },
    Query { name: "q3", what: "local items", flink: Some(147.0),
        sql: "SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
              WHERE a.category = 10 AND p.state IN ('or', 'id', 'ca')" },
    Query { name: "q4", what: "average of the winning prices by category", flink: Some(64.0),
        sql: "SELECT category, avg(final) AS final FROM (
                SELECT max(b.price) AS final, a.category FROM auction a JOIN bid b ON a.id = b.auction
                WHERE b.dt BETWEEN a.dt AND a.expires GROUP BY a.id, a.category) q GROUP BY category" },
    Query { name: "q5", what: "most wanted auctions of the last ten seconds", flink: None,
        sql: "WITH c AS (SELECT auction, count(*) AS n, window_start, window_end
                FROM HOP(bid, dt, INTERVAL '2 seconds', INTERVAL '10 seconds') GROUP BY auction, window_start, window_end)
              SELECT auction, n, window_start FROM (
                SELECT auction, n, window_start, rank() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS r FROM c) t
              WHERE r <= 1" },
    Query { name: "q6", what: "average of a seller's last winning prices", flink: None,
        sql: "SELECT seller, id, avg(final) OVER (PARTITION BY seller ORDER BY dt, id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS price
              FROM (SELECT a.id, a.seller, max(b.price) AS final, max(b.dt) AS dt FROM auction a JOIN bid b ON a.id = b.auction
                    WHERE b.dt BETWEEN a.dt AND a.expires GROUP BY a.id, a.seller) q" },
    Query { name: "q7", what: "highest bids of each ten seconds", flink: Some(62.0),
        sql: "SELECT b.auction, b.price, b.bidder, b.dt FROM bid b JOIN (
                SELECT max(price) AS maxprice, window_end AS w FROM TUMBLE(bid, dt, INTERVAL '10 seconds')
                GROUP BY window_start, window_end) m
              ON b.price = m.maxprice AND b.dt BETWEEN m.w - INTERVAL '10 seconds' AND m.w" },
    Query { name: "tumble", what: "count and sum of each auction and ten seconds", flink: Some(138.0),
        sql: "SELECT auction, count(*) AS n, sum(price) AS total, window_start
              FROM TUMBLE(bid, dt, INTERVAL '10 seconds') GROUP BY auction, window_start, window_end" },
    Query { name: "q8", what: "new persons that sell at once", flink: None,
        sql: "SELECT p.id, p.name, p.window_start FROM (
                SELECT id, name, window_start, window_end FROM TUMBLE(person, dt, INTERVAL '10 seconds')
                GROUP BY id, name, window_start, window_end) p
              JOIN (SELECT seller, window_start, window_end FROM TUMBLE(auction, dt, INTERVAL '10 seconds')
                GROUP BY seller, window_start, window_end) a
              ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end" },
    Query { name: "q9", what: "winning bids", flink: Some(66.0),
        sql: "SELECT id, bidder, price FROM (
                SELECT a.id, b.bidder, b.price, row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dt ASC, b.bidder) AS r
                FROM auction a JOIN bid b ON a.id = b.auction WHERE b.dt BETWEEN a.dt AND a.expires) t WHERE r <= 1" },
    Query { name: "q11", what: "sessions of bidders", flink: None,
        sql: "SELECT bidder, count(*) AS n, window_start, window_end
              FROM SESSION(bid PARTITION BY bidder, dt, INTERVAL '10 seconds') GROUP BY bidder, window_start, window_end" },
    Query { name: "q13", what: "a side input", flink: None,
        sql: "SELECT b.auction, b.bidder, b.price, b.dt, s.value FROM bid b JOIN side_input s ON b.auction % 10000 = s.key" },
    Query { name: "q14", what: "calculations", flink: None,
        sql: "SELECT auction, bidder, price * 908 / 1000 AS price,
                CASE WHEN extract(hour FROM dt) BETWEEN 8 AND 18 THEN 'day'
                     WHEN extract(hour FROM dt) <= 6 OR extract(hour FROM dt) >= 20 THEN 'night' ELSE 'other' END AS time,
                dt, length(extra) - length(replace(extra, 'c', '')) AS c_counts
              FROM bid WHERE price * 908 / 1000 > 1000000 AND price * 908 / 1000 < 50000000" },
    Query { name: "q15", what: "statistics of all bids", flink: Some(98.0),
        sql: "SELECT count(*) AS bids, count(DISTINCT bidder) AS bidders, count(DISTINCT auction) AS auctions,
                count(*) FILTER (WHERE price < 10000) AS small FROM bid" },
    Query { name: "q16", what: "statistics by channel and day", flink: None,
        sql: "SELECT channel, date_trunc('day', dt) AS day, max(date_trunc('minute', dt)) AS minute, count(*) AS bids,
                count(*) FILTER (WHERE price < 10000) AS rank1,
                count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2,
                count(*) FILTER (WHERE price >= 1000000) AS rank3, count(DISTINCT bidder) AS bidders,
                count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
                count(DISTINCT auction) AS auctions, count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS rank3_auctions
              FROM bid GROUP BY channel, date_trunc('day', dt)" },
    Query { name: "q17", what: "statistics by auction and day", flink: None,
        sql: "SELECT auction, date_trunc('day', dt) AS day, count(*) AS bids,
                count(*) FILTER (WHERE price < 10000) AS rank1,
                count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2,
                count(*) FILTER (WHERE price >= 1000000) AS rank3,
                min(price) AS low, max(price) AS high, avg(price) AS middle, sum(price) AS total
              FROM bid GROUP BY auction, date_trunc('day', dt)" },
    Query { name: "q18", what: "a bidder's last bid on an auction", flink: Some(107.0),
        sql: "SELECT bidder, auction, dt FROM (
                SELECT bidder, auction, dt, row_number() OVER (PARTITION BY bidder, auction ORDER BY dt DESC) AS r FROM bid) t
              WHERE r <= 1" },
    Query { name: "q19", what: "an auction's ten highest bids", flink: None,
        sql: "SELECT auction, bidder, price, dt, r FROM (
                SELECT auction, bidder, price, dt, row_number() OVER (PARTITION BY auction ORDER BY price DESC, dt, bidder) AS r FROM bid) t
              WHERE r <= 10" },
    Query { name: "q20", what: "bids with their auction", flink: Some(85.0),
        sql: "SELECT b.auction, b.bidder, b.price, a.category FROM bid b JOIN auction a ON a.id = b.auction WHERE a.category = 10" },
    Query { name: "q21", what: "channel ids", flink: None,
        sql: "SELECT auction, bidder, price, channel,
                CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
                     ELSE (regexp_match(url, '(&|^)channel_id=([^&]*)'))[2] END AS channel_id
              FROM bid WHERE url LIKE '%channel_id=%' OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')" },
    Query { name: "q22", what: "folders of addresses", flink: None,
        sql: "SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2,
                split_part(url, '/', 6) AS dir3 FROM bid" },
];

/// Those that are asked for, in their order here.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Query>, String> {
    if names.is_empty() {
        return Ok(QUERIES.iter().collect());
    }
    let known = |name: &String| QUERIES.iter().any(|query| query.name == name);
    match names.iter().find(|name| !known(name)) {
        Some(stranger) => {
            let all: Vec<&str> = QUERIES.iter().map(|query| query.name).collect();
            Err(format!(
                "{stranger:?} is no query; there are {}",
                all.join(", ")
            ))
        }
        None => Ok(QUERIES
            .iter()
            .filter(|query| names.iter().any(|name| name == query.name))
            .collect()),
    }
}
