-- Fires when the flights of an airport's current hour leave an hour and a half late on average; resolves when they
-- no longer do, or when that hour is over. Every alert shows on the console; `notify = 'webhook:${ALERT_URL}'` would post it too.
CREATE ALERT airport_in_trouble AS
  SELECT origin, window_start, window_end, departed, avg_delay FROM airport_hourly
  WHERE departed >= 10 AND avg_delay > 90
  WITH (severity = 'page', key = 'origin');

-- Without a window an alert holds as long as its row does: routes that have become late over the whole year.
CREATE ALERT route_in_trouble AS
  SELECT origin, dest, flights, avg_arrival_delay FROM troubled_routes
  WHERE flights >= 500 AND avg_arrival_delay > 20
  WITH (severity = 'warning', key = 'origin,dest');
