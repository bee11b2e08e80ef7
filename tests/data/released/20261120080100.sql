-- Rows as a version with the schema 20261120080100 left them. Released: never edited.
set timezone = 'UTC';
set search_path = public, extensions;
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at)
  overriding system value values ('1', 'jellyfin', '1', 'movie', 'Film 1', 'a', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'analyzed', '', '1', '2026-11-20 17:18:03.903009+00', '2026-11-20 17:18:03.914018+00');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at)
  overriding system value values ('3', 'jellyfin', 'broken', 'video', '', '', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'failed', 'the file is empty', '0', '2026-11-20 17:18:03.946761+00', '2026-11-20 17:18:03.946761+00');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at)
  overriding system value values ('4', 'jellyfin', 'gone', 'video', '', '', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'deleted', 'x', '1', '2026-11-20 17:18:03.958909+00', '2026-11-20 17:18:03.96201+00');
select setval(pg_get_serial_sequence('media_items', 'id'), 1000);
insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve, best_match, models, missing_models, warnings, seconds, saved_at)
  overriding system value values ('1', '1', 'a', 'p1', '60', 'clip-vit-b-32', NULL, '[]', '[]', NULL, '{clip-vit-b-32}', '{}', '{}', '{"probe": 0.5}', '2026-11-20 17:18:03.914018+00');
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags)
  overriding system value values ('1', '0', '0', '30', '5', '0.5', '{beach}');
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags)
  overriding system value values ('1', '1', '30', '60', '35', '0.25', '{}');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding)
  overriding system value values ('1', '0', 'clip-vit-b-32', '2', '[1,0]');
insert into media_highlights (media_item_id, position, start_s, end_s, peak_s, score, reasons)
  overriding system value values ('1', '0', '1', '2', '1.5', '0.9', '{"a goal"}');
insert into media_audio_analysis (media_item_id, loudness_dbfs, dynamic_range_db, tempo_bpm, mode, brightness_hz, silence_ratio, tags, summary, mood, confidence)
  overriding system value values ('1', '-23.5', '12', '120', 'minor', '1800', '0', '{}', 'Waves.', '', NULL);
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('1', 'discord', 'e1', 'sent', 'message 5', '', '2026-11-20 17:18:03.92603+00', '2026-11-20 17:18:03.927412+00');
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('1', 'nats', 'e1', 'sending', '', '', '2026-11-20 17:18:03.964624+00', NULL);
insert into published_events (sequence, id, topic, envelope, created_at)
  overriding system value values ('1', 'event-0', 'content.published.v1', E'{"id": "event-0", "title": "Süß \\\\ ''x''", "topic": "content.published.v1"}', '2026-11-20 17:18:03.967007+00');
select setval(pg_get_serial_sequence('published_events', 'sequence'), 1000);
update moodreel.installation set installed_at = '2026-02-03 04:05:06+00';
