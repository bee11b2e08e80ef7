-- Rows as a version with the schema 20261120104600 left them. Released: never edited.
set timezone = 'UTC';
set search_path = public, extensions;
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at)
  overriding system value values ('1', 'jellyfin', '1', 'movie', 'Film 1', 'a', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'analyzed', '', '1', '2026-11-20 17:18:04.550602+00', '2026-11-20 17:18:04.562059+00');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at)
  overriding system value values ('3', 'jellyfin', 'broken', 'video', '', '', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'failed', 'the file is empty', '0', '2026-11-20 17:18:04.586041+00', '2026-11-20 17:18:04.586041+00');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at)
  overriding system value values ('4', 'jellyfin', 'gone', 'video', '', '', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'deleted', 'x', '1', '2026-11-20 17:18:04.594297+00', '2026-11-20 17:18:04.594699+00');
select setval(pg_get_serial_sequence('media_items', 'id'), 1000);
insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve, best_match, models, missing_models, warnings, seconds, saved_at, sound_embedding_model, picture, comfort)
  overriding system value values ('1', '1', 'a', 'p1', '60', 'clip-vit-b-32', NULL, '[]', '[]', NULL, '{clip-vit-b-32}', '{}', '{}', '{"probe": 0.5}', '2026-11-20 17:18:04.562059+00', '', NULL, '[]');
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('1', '0', '0', '30', '5', '0.5', '{beach}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('1', '1', '30', '60', '35', '0.25', '{}', '[]', '', NULL);
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('1', '0', 'clip-vit-b-32', '2', '[1,0]', 'scene');
insert into media_highlights (media_item_id, position, start_s, end_s, peak_s, score, reasons, caption)
  overriding system value values ('1', '0', '1', '2', '1.5', '0.9', '{"a goal"}', '');
insert into media_audio_analysis (media_item_id, loudness_dbfs, dynamic_range_db, tempo_bpm, mode, brightness_hz, silence_ratio, tags, summary, mood, confidence, loudness_lufs, loudness_range_lu, key, flatness, onset_rate_hz)
  overriding system value values ('1', '-23.5', '12', '120', 'minor', '1800', '0', '{}', 'Waves.', '', NULL, NULL, NULL, '', '0', '0');
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('1', 'discord', 'e1', 'sent', 'message 5', '', '2026-11-20 17:18:04.567167+00', '2026-11-20 17:18:04.569985+00');
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('1', 'nats', 'e1', 'sending', '', '', '2026-11-20 17:18:04.595089+00', NULL);
insert into published_events (sequence, id, topic, envelope, created_at)
  overriding system value values ('1', 'event-0', 'content.published.v1', E'{"id": "event-0", "title": "Süß \\\\ ''x''", "topic": "content.published.v1"}', '2026-11-20 17:18:04.597798+00');
select setval(pg_get_serial_sequence('published_events', 'sequence'), 1000);
update moodreel.installation set installed_at = '2026-02-03 04:05:06+00';
