-- Answers that are kept up to date as flights depart.

-- A plain view is a named query: expanded where it is used, nothing is stored.
CREATE VIEW departures AS
  SELECT ts, carrier, flight, tailnum, origin, dest, dep_delay, arr_delay, distance, air_time, time_hour,
         CASE WHEN dep_time IS NULL THEN 'cancelled'
              WHEN dep_delay > 15 THEN 'late'
              ELSE 'on time' END AS status
  FROM flights;

-- A filter.
CREATE MATERIALIZED VIEW cancelled AS
  SELECT ts, carrier, flight, tailnum, origin, dest FROM flights WHERE dep_time IS NULL;

-- Computed columns.
CREATE MATERIALIZED VIEW ground_speed AS
  SELECT ts, carrier, flight, origin, dest, distance, air_time,
         distance * CAST(60 AS DOUBLE) / air_time AS miles_per_hour,
         dep_delay - arr_delay AS minutes_made_up
  FROM flights WHERE air_time IS NOT NULL AND distance >= 2000;

-- One row a status, corrected with every flight.
CREATE MATERIALIZED VIEW punctuality AS
  SELECT status, count(*) AS flights, avg(dep_delay) AS avg_delay FROM departures GROUP BY status;

-- A tumbling window on event time: each airport, hour by hour.
CREATE MATERIALIZED VIEW airport_hourly AS
  SELECT origin, window_start, window_end,
         count(*) AS flights, count(dep_delay) AS departed, avg(dep_delay) AS avg_delay,
         max(dep_delay) AS worst_delay, min(dep_delay) AS best_delay
  FROM TUMBLE(flights, ts, INTERVAL '1 hour')
  GROUP BY origin, window_start, window_end;

-- A hopping window: each carrier over the last two hours, every hour.
CREATE MATERIALIZED VIEW carrier_two_hours AS
  SELECT carrier, window_start, window_end, count(*) AS flights, sum(distance) AS miles,
         sum(CASE WHEN dep_delay > 15 THEN 1 ELSE 0 END) AS late
  FROM HOP(flights, ts, INTERVAL '1 hour', INTERVAL '2 hours')
  GROUP BY carrier, window_start, window_end;

-- Each day once, when it is over, and never changed again.
CREATE MATERIALIZED VIEW airport_daily AS
  SELECT origin, window_start, window_end, count(*) AS flights, count(dep_delay) AS departed,
         count(DISTINCT tailnum) AS planes, count(DISTINCT dest) AS destinations, max(dep_delay) AS worst_delay
  FROM TUMBLE(flights, ts, INTERVAL '1 day')
  GROUP BY origin, window_start, window_end
  EMIT ON WINDOW CLOSE;

-- Min, max and count distinct, kept per route.
CREATE MATERIALIZED VIEW routes AS
  SELECT origin, dest, count(*) AS flights, count(DISTINCT carrier) AS carriers,
         min(air_time) AS fastest, max(air_time) AS slowest, avg(arr_delay) AS avg_arrival_delay
  FROM flights GROUP BY origin, dest;

-- A view over a view.
CREATE MATERIALIZED VIEW troubled_routes AS
  SELECT origin, dest, flights, avg_arrival_delay FROM routes
  WHERE flights >= 100 AND avg_arrival_delay > 15;

-- Each flight with its plane, its airline and the weather of its hour. A plane that becomes known later, or
-- weather that is corrected, corrects the rows that are already here.
CREATE MATERIALIZED VIEW flights_enriched AS
  SELECT f.ts, f.carrier, a.name AS airline, f.flight, f.origin, f.dest, f.tailnum, f.dep_delay, f.arr_delay,
         p.manufacturer, p.model, p.seats, p.year AS plane_year,
         w.temp, w.wind_speed, w.visib, w.precip
  FROM flights f
  LEFT JOIN planes p ON f.tailnum = p.tailnum
  LEFT JOIN airlines a ON f.carrier = a.carrier
  LEFT JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour;

-- Aggregates over that join: they are corrected with it.
CREATE MATERIALIZED VIEW delay_by_visibility AS
  SELECT CASE WHEN visib IS NULL THEN 'unknown' WHEN visib < 1 THEN 'under 1 mile'
              WHEN visib < 5 THEN '1 to 5 miles' ELSE 'clear' END AS visibility,
         count(*) AS flights, avg(dep_delay) AS avg_delay, max(dep_delay) AS worst_delay
  FROM flights_enriched
  GROUP BY CASE WHEN visib IS NULL THEN 'unknown' WHEN visib < 1 THEN 'under 1 mile'
                WHEN visib < 5 THEN '1 to 5 miles' ELSE 'clear' END;

CREATE MATERIALIZED VIEW manufacturers AS
  SELECT coalesce(manufacturer, 'unknown') AS manufacturer, count(*) AS flights,
         count(DISTINCT tailnum) AS planes, sum(seats) AS seats_offered
  FROM flights_enriched GROUP BY coalesce(manufacturer, 'unknown');

-- Two streams in one.
CREATE MATERIALIZED VIEW incidents AS
  SELECT ts, origin, carrier, flight, 'cancelled' AS what, CAST(NULL AS INT) AS minutes FROM flights WHERE dep_time IS NULL
  UNION ALL
  SELECT ts, origin, carrier, flight, 'very late' AS what, dep_delay AS minutes FROM flights WHERE dep_delay >= 180;
