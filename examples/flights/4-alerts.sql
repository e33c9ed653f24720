-- Fires when the flights of an airport's current hour leave an hour and a half late on average; resolves when they
-- no longer do, or when that hour is over. Every alert shows on the console; `notify = 'webhook:${ALERT_URL}'` would post it too.
CREATE ALERT airport_in_trouble AS
  SELECT origin, window_start, window_end, departed, avg_delay FROM airport_hourly
  WHERE departed >= 10 AND avg_delay > 90
  WITH (severity = 'page', key = 'origin');
