-- Answers that leave as topics, in the same atomic commit that makes the views durable.

-- The view has a key, so the topic is keyed: the latest record of a key is its row.
CREATE SINK airport_hourly_out INTO topic FROM airport_hourly WITH (topic = 'airport-hourly');

-- The view is append-only, so its rows are appended.
CREATE SINK incidents_out INTO topic FROM incidents WITH (topic = 'incidents');
