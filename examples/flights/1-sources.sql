-- What comes in. A SOURCE is a topic read as rows that are only ever added; a TABLE is a topic read as
-- the latest row of each key (a record without a value deletes its key).

CREATE SOURCE flights (
  year INT, month INT, day INT, hour INT, minute INT,
  dep_time INT, sched_dep_time INT, dep_delay INT,
  arr_time INT, sched_arr_time INT, arr_delay INT,
  carrier TEXT, flight INT, tailnum TEXT, origin TEXT, dest TEXT,
  air_time INT, distance INT,
  time_hour TIMESTAMPTZ,
  -- The scheduled departure to the minute, computed from two other columns.
  ts TIMESTAMPTZ AS time_hour + minute * INTERVAL '1 minute',
  WATERMARK FOR ts AS ts - INTERVAL '1 minute'
) WITH (connector = 'topic', topic = 'flights', format = 'json');

CREATE TABLE planes (
  tailnum TEXT PRIMARY KEY, year INT, type TEXT, manufacturer TEXT, model TEXT,
  engines INT, seats INT, speed INT, engine TEXT
) WITH (connector = 'topic', topic = 'planes', format = 'json');

CREATE TABLE airlines (carrier TEXT PRIMARY KEY, name TEXT)
  WITH (connector = 'topic', topic = 'airlines', format = 'json');

CREATE TABLE airports (
  faa TEXT PRIMARY KEY, name TEXT, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst TEXT, tzone TEXT
) WITH (connector = 'topic', topic = 'airports', format = 'json');

-- One row an airport and hour: the key has two columns.
CREATE TABLE weather (
  origin TEXT, time_hour TIMESTAMPTZ, temp DOUBLE, dewp DOUBLE, humid DOUBLE, wind_dir INT,
  wind_speed DOUBLE, wind_gust DOUBLE, precip DOUBLE, pressure DOUBLE, visib DOUBLE,
  PRIMARY KEY (origin, time_hour)
) WITH (connector = 'topic', topic = 'weather', format = 'json');
