"""The demo's views as one batch query each, by DuckDB over the same CSV files."""
from conftest import ROOT
import duckdb

DATA = ROOT / "crates/headwater/data/flights"

LOAD = [
    f"""CREATE TABLE flights AS SELECT *, time_hour + to_minutes(minute) AS ts
        FROM read_csv('{DATA}/flights.csv.zst', nullstr='NA', sample_size=-1)""",
    f"CREATE TABLE weather AS SELECT * FROM read_csv('{DATA}/weather.csv.zst', nullstr='NA', sample_size=-1)",
    f"CREATE TABLE planes AS SELECT * FROM read_csv('{DATA}/planes.csv.zst', nullstr='NA', sample_size=-1)",
    f"CREATE TABLE airlines AS SELECT * FROM read_csv('{DATA}/airlines.csv.zst')",
    """CREATE VIEW enriched AS
       SELECT f.ts, f.carrier, a.name AS airline, f.flight, f.origin, f.dest, f.tailnum, f.dep_delay, f.arr_delay,
              p.manufacturer, p.model, p.seats, p.year AS plane_year, w.temp, w.wind_speed, w.visib, w.precip
       FROM flights f LEFT JOIN planes p ON f.tailnum = p.tailnum LEFT JOIN airlines a ON f.carrier = a.carrier
       LEFT JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour""",
]

HOUR = "time_bucket(INTERVAL '1 hour', ts)"

VIEWS = {
    "cancelled": "SELECT ts, carrier, flight, tailnum, origin, dest FROM flights WHERE dep_time IS NULL",
    "ground_speed": """SELECT ts, carrier, flight, origin, dest, distance, air_time, distance * 60.0::DOUBLE / air_time,
        dep_delay - arr_delay FROM flights WHERE air_time IS NOT NULL AND distance >= 2000""",
    "punctuality": """SELECT CASE WHEN dep_time IS NULL THEN 'cancelled' WHEN dep_delay > 15 THEN 'late' ELSE 'on time' END,
        count(*), avg(dep_delay) FROM flights GROUP BY 1""",
    "airport_hourly": f"""SELECT origin, {HOUR}, {HOUR} + INTERVAL '1 hour', count(*), count(dep_delay), avg(dep_delay),
        max(dep_delay), min(dep_delay) FROM flights GROUP BY 1, 2, 3""",
    "carrier_two_hours": f"""SELECT carrier, s, s + INTERVAL '2 hours', count(*), sum(distance),
        sum(CASE WHEN dep_delay > 15 THEN 1 ELSE 0 END)
        FROM (SELECT *, unnest([{HOUR}, {HOUR} - INTERVAL '1 hour']) AS s FROM flights) GROUP BY 1, 2, 3""",
    "airport_daily": """SELECT origin, time_bucket(INTERVAL '1 day', ts), time_bucket(INTERVAL '1 day', ts) + INTERVAL '1 day',
        count(*), count(dep_delay), count(DISTINCT tailnum), count(DISTINCT dest), max(dep_delay) FROM flights GROUP BY 1, 2, 3""",
    "routes": """SELECT origin, dest, count(*), count(DISTINCT carrier), min(air_time), max(air_time), avg(arr_delay)
        FROM flights GROUP BY 1, 2""",
    "troubled_routes": """SELECT origin, dest, count(*) AS n, avg(arr_delay) AS d FROM flights GROUP BY 1, 2
        HAVING n >= 100 AND d > 15""",
    "flights_enriched": "SELECT * FROM enriched",
    "delay_by_visibility": """SELECT CASE WHEN visib IS NULL THEN 'unknown' WHEN visib < 1 THEN 'under 1 mile'
        WHEN visib < 5 THEN '1 to 5 miles' ELSE 'clear' END, count(*), avg(dep_delay), max(dep_delay) FROM enriched GROUP BY 1""",
    "manufacturers": """SELECT coalesce(manufacturer, 'unknown'), count(*), count(DISTINCT tailnum), sum(seats)
        FROM enriched GROUP BY 1""",
    "incidents": """SELECT ts, origin, carrier, flight, 'cancelled', NULL FROM flights WHERE dep_time IS NULL UNION ALL
        SELECT ts, origin, carrier, flight, 'very late', dep_delay FROM flights WHERE dep_delay >= 180""",
}


def batch_answers():
    """View name -> rows, as normal() makes them, sorted."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    for statement in LOAD:
        db.execute(statement)
    return {name: canonical(db.execute(query).fetchall()) for name, query in VIEWS.items()}


def normal(value):
    """One form for a value from either side: instants as text, numbers to 9 digits."""
    if value is None or isinstance(value, bool):
        return value
    if hasattr(value, "isoformat"):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, str):
        return value
    return f"{float(value):.9g}"


def canonical(rows):
    return sorted((tuple(normal(v) for v in row) for row in rows), key=repr)
