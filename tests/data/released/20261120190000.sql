-- Rows as a version with the schema 20261120190000 left them. Released: never edited.
set timezone = 'UTC';
set search_path = public, extensions;
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at, library, series_id, fingerprint)
  overriding system value values ('1', 'jellyfin', '1', 'movie', 'Film 1', 'a', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'analyzed', '', '1', '2026-11-20 17:18:05.302972+00', '2026-11-20 17:18:05.30841+00', '', '', '');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at, library, series_id, fingerprint)
  overriding system value values ('3', 'jellyfin', 'broken', 'video', '', '', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'failed', 'the file is empty', '0', '2026-11-20 17:18:05.338838+00', '2026-11-20 17:18:05.850462+00', '', '', '');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at, library, series_id, fingerprint)
  overriding system value values ('4', 'jellyfin', 'gone', 'movie', 'Film gone', 'a', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'deleted', '', '3', '2026-11-20 17:18:05.348442+00', '2026-11-20 17:18:05.860923+00', '', '', '');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at, library, series_id, fingerprint)
  overriding system value values ('5', 'jellyfin', 'full', 'episode', 'Ein Fest für Augen und Ohren 🎬', 'a', E'He said: "no\\yes"
', '1987', '{Drama,Süßes}', '{summer}', 'The Series', '0', '7', 'An Artist', 'An Album', '1324.04', '2026-03-29 01:59:59.123456+00', 'https://media.example/web/#/details?id=full', 'analyzed', '', '1', '2026-11-20 17:18:05.412044+00', '2026-11-20 17:18:05.647003+00', 'Serien & Mehr', '5f1c', '1300000-9f86d081884c7d65');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at, library, series_id, fingerprint)
  overriding system value values ('7', 'jellyfin', 'i0', 'movie', 'Film i0', 'a', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'analyzed', '', '1', '2026-11-20 17:18:05.731416+00', '2026-11-20 17:18:05.748431+00', '', '', '');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at, library, series_id, fingerprint)
  overriding system value values ('9', 'jellyfin', 'i1', 'movie', 'Film i1', 'a', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'analyzed', '', '1', '2026-11-20 17:18:05.784949+00', '2026-11-20 17:18:05.793376+00', '', '', '');
insert into media_items (id, server, item_id, kind, title, revision, overview, year, genres, keywords, series, season_number, episode_number, artist, album, duration_s, added_at, url, state, reason, token, created_at, updated_at, library, series_id, fingerprint)
  overriding system value values ('11', 'jellyfin', 'i2', 'movie', 'Film i2', 'a', '', NULL, '{}', '{}', '', NULL, NULL, '', '', NULL, NULL, '', 'analyzed', '', '1', '2026-11-20 17:18:05.805996+00', '2026-11-20 17:18:05.8184+00', '', '', '');
select setval(pg_get_serial_sequence('media_items', 'id'), 1000);
insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve, best_match, models, missing_models, warnings, seconds, saved_at, sound_embedding_model, picture, comfort, fingerprint)
  overriding system value values ('1', '1', 'a', 'p1', '60', 'clip-vit-b-32', NULL, '[]', '[]', NULL, '{clip-vit-b-32}', '{}', '{}', '{"probe": 0.5}', '2026-11-20 17:18:05.30841+00', '', NULL, '[]', '');
insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve, best_match, models, missing_models, warnings, seconds, saved_at, sound_embedding_model, picture, comfort, fingerprint)
  overriding system value values ('4', '2', 'a', 'p1', '60', '', NULL, '[]', '[]', NULL, '{}', '{}', '{}', '{}', '2026-11-20 17:18:05.859012+00', '', NULL, '[]', '');
insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve, best_match, models, missing_models, warnings, seconds, saved_at, sound_embedding_model, picture, comfort, fingerprint)
  overriding system value values ('5', '1', 'a', 'moodreel-0.1.0/clip-vit-b-32/1a2b', '1324.04', 'clip-vit-b-32', '{"audio": [{"codec": "aac", "language": "deu", "channel_count": 6, "sample_rate_hz": 48000}, {"codec": "ac3", "language": "", "channel_count": 2, "sample_rate_hz": 44100}], "video": {"codec": "h264", "width": 1080, "height": 1920, "is_hdr": true, "rotation_deg": 90, "frame_rate_hz": 23.976, "is_interlaced": true, "sample_aspect_ratio": 1.0667}, "chapters": [{"end_s": 61.25, "title": "Opening", "start_s": 0.0}], "container": "matroska", "subtitles": [{"codec": "subrip", "language": "eng", "is_forced": true}], "duration_s": 1324.04, "size_bytes": 5000000000}', '[{"end_s": 0.3333333333333333, "start_s": 0.0}, {"end_s": 1324.04, "start_s": 0.3333333333333333}]', '[{"time_s": 0.0, "arousal": 1.0, "valence": -1.0}, {"time_s": 10.0, "arousal": -0.1, "valence": 0.1}]', '{"ref": {"server": "folder", "item_id": "a/b.mkv"}, "score": 0.8125, "title": "Another"}', '{clip-vit-b-32,clap}', '{siglip2}', '{"the tail of the file is broken"}', '{"probe": 0.25, "encode": 12.0}', '2026-11-20 17:18:05.647003+00', 'clap', '{"luma": 0.41, "motion": 0.12, "warmth": -0.05, "palette": [{"rgb": "#10a0ff", "share": 0.5}, {"rgb": "#e0d0b0", "share": 0.25}], "contrast": 0.22, "sharpness": 640.0, "saturation": 0.3, "cuts_per_min": 11.5, "picture_area": [0.0, 0.125, 1.0, 0.875]}', '[{"kind": "flashing", "end_s": 63.5, "amount": 9.5, "start_s": 61.0}, {"kind": "sudden_loudness", "end_s": 91.0, "amount": 21.0, "start_s": 90.0}]', '1300000-9f86d081884c7d65');
insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve, best_match, models, missing_models, warnings, seconds, saved_at, sound_embedding_model, picture, comfort, fingerprint)
  overriding system value values ('7', '1', 'a', 'p1', '60', 'clip-vit-b-32', NULL, '[]', '[]', NULL, '{}', '{}', '{}', '{}', '2026-11-20 17:18:05.748431+00', '', NULL, '[]', '');
insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve, best_match, models, missing_models, warnings, seconds, saved_at, sound_embedding_model, picture, comfort, fingerprint)
  overriding system value values ('9', '1', 'a', 'p1', '60', 'clip-vit-b-32', NULL, '[]', '[]', NULL, '{}', '{}', '{}', '{}', '2026-11-20 17:18:05.793376+00', '', NULL, '[]', '');
insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, embedding_model, media, shots, mood_curve, best_match, models, missing_models, warnings, seconds, saved_at, sound_embedding_model, picture, comfort, fingerprint)
  overriding system value values ('11', '1', 'a', 'p1', '60', 'clip-vit-b-32', NULL, '[]', '[]', NULL, '{}', '{}', '{}', '{}', '2026-11-20 17:18:05.8184+00', '', NULL, '[]', '');
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('1', '0', '0', '30', '5', '0.5', '{beach}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('1', '1', '30', '60', '35', '0.25', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('5', '0', '0', '10', '5', '0.5', '{beach,sun}', '[{"time_s": 5.0, "quality": 0.5}, {"time_s": 7.0, "quality": 0.25}]', 'Waves roll onto a beach.', '{"error": "one frame: no answer within 2 s", "model": "clip-vit-b-32", "device": "cpu", "dimension": 8, "frame_count": 12, "inference_ms": 140.5}');
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('5', '1', '10', '20', '15', '0.5', '{beach,sun}', '[{"time_s": 15.0, "quality": 0.5}, {"time_s": 17.0, "quality": 0.25}]', 'Waves roll onto a beach.', '{"error": "one frame: no answer within 2 s", "model": "clip-vit-b-32", "device": "cpu", "dimension": 8, "frame_count": 12, "inference_ms": 140.5}');
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('5', '2', '20', '30', '25', '0.5', '{beach,sun}', '[{"time_s": 25.0, "quality": 0.5}, {"time_s": 27.0, "quality": 0.25}]', 'Waves roll onto a beach.', '{"error": "one frame: no answer within 2 s", "model": "clip-vit-b-32", "device": "cpu", "dimension": 8, "frame_count": 12, "inference_ms": 140.5}');
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('7', '0', '0', '10', '5', '0.5', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('7', '1', '10', '20', '15', '0.5', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('7', '2', '20', '30', '25', '0.5', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('9', '0', '0', '10', '5', '0.5', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('9', '1', '10', '20', '15', '0.5', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('9', '2', '20', '30', '25', '0.5', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('11', '0', '0', '10', '5', '0.5', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('11', '1', '10', '20', '15', '0.5', '{}', '[]', '', NULL);
insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, frames, caption, encoding)
  overriding system value values ('11', '2', '20', '30', '25', '0.5', '{}', '[]', '', NULL);
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('1', '0', 'clip-vit-b-32', '2', '[1,0]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '0', 'clip-vit-b-32', '8', '[0.16772461,0.39868164,0.16040039,-0.6323242,0.43920898,0.21655273,-0.26049805,0.28198242]', 'keyframe');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '0', 'clip-vit-b-32', '8', '[0.06750488,-0.07092285,0.34375,0.05630493,-0.28759766,0.1940918,0.7001953,0.5083008]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '0', 'clap', '8', '[0.05529785,-0.15283203,-0.120788574,-0.7138672,0.5263672,0.3347168,-0.09515381,0.22631836]', 'sound');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '1', 'clip-vit-b-32', '8', '[0.28125,0.22692871,0.02192688,0.421875,-0.5683594,-0.12573242,-0.3720703,0.4621582]', 'keyframe');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '1', 'clip-vit-b-32', '8', '[-0.22216797,-0.3996582,-0.19677734,0.013046265,-0.734375,-0.0690918,-0.39331055,-0.23120117]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '1', 'clap', '8', '[0.18188477,-0.3581543,0.6323242,-0.20092773,-0.21264648,-0.51220703,0.29418945,-0.06414795]', 'sound');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '2', 'clip-vit-b-32', '8', '[0.021148682,-0.15563965,-0.41625977,-0.13696289,0.004333496,-0.14672852,0.68896484,0.5361328]', 'keyframe');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '2', 'clip-vit-b-32', '8', '[-0.26879883,-0.15612793,0.20324707,0.51464844,-0.06347656,0.6748047,-0.32836914,0.17358398]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('5', '2', 'clap', '8', '[0.3449707,-0.3840332,0.080200195,-0.5644531,0.53222656,0.11895752,0.20910645,0.25976562]', 'sound');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('7', '0', 'clip-vit-b-32', '2', '[1,0]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('7', '1', 'clip-vit-b-32', '2', '[0.60009766,0.7998047]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('7', '2', 'clip-vit-b-32', '2', '[0,0]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('9', '0', 'clip-vit-b-32', '2', '[1,0]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('9', '1', 'clip-vit-b-32', '2', '[0.60009766,0.7998047]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('9', '2', 'clip-vit-b-32', '2', '[0,1]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('11', '0', 'clip-vit-b-32', '2', '[1,0]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('11', '1', 'clip-vit-b-32', '2', '[0.60009766,0.7998047]', 'scene');
insert into scene_embeddings (media_item_id, position, model, dimension, embedding, kind)
  overriding system value values ('11', '2', 'clip-vit-b-32', '2', '[0,2]', 'scene');
insert into media_tags (media_item_id, position, label, kind, score, evidence)
  overriding system value values ('5', '0', 'beach', 'place', '0.91', '[{"model": "clip-vit-b-32", "score": 0.87, "prompt": "a photo of a beach", "time_s": 5.0, "modality": "picture"}, {"model": "clap", "score": 0.2, "prompt": "", "time_s": 7.5, "modality": "sound"}]');
insert into media_tags (media_item_id, position, label, kind, score, evidence)
  overriding system value values ('5', '1', 'bright', 'style', '0.5', '[]');
insert into media_moods (media_item_id, position, label, score, valence, arousal)
  overriding system value values ('5', '0', 'joyful', '0.7', '0.8', '0.6');
insert into media_moods (media_item_id, position, label, score, valence, arousal)
  overriding system value values ('5', '1', 'calm', '0.3', '0.4', '-0.7');
insert into media_highlights (media_item_id, position, start_s, end_s, peak_s, score, reasons, caption)
  overriding system value values ('1', '0', '1', '2', '1.5', '0.9', '{"a goal"}', '');
insert into media_highlights (media_item_id, position, start_s, end_s, peak_s, score, reasons, caption)
  overriding system value values ('5', '0', '10', '20', '14.5', '0.9', '{"a goal",applause}', 'Two people embrace.');
insert into media_audio_analysis (media_item_id, loudness_dbfs, dynamic_range_db, tempo_bpm, mode, brightness_hz, silence_ratio, tags, summary, mood, confidence, loudness_lufs, loudness_range_lu, key, flatness, onset_rate_hz)
  overriding system value values ('1', '-23.5', '12', '120', 'minor', '1800', '0', '{}', 'Waves.', '', NULL, NULL, NULL, '', '0', '0');
insert into media_audio_analysis (media_item_id, loudness_dbfs, dynamic_range_db, tempo_bpm, mode, brightness_hz, silence_ratio, tags, summary, mood, confidence, loudness_lufs, loudness_range_lu, key, flatness, onset_rate_hz)
  overriding system value values ('5', '-23.5', '12.25', '120.5', 'minor', '1800', '0.05', '{sea,speech}', 'Waves, and people who laugh.', 'carefree', '0.66', '-24.1', '7.5', 'F#', '0.125', '1.75');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('1', 'lexical', '-1', '''1'':2 ''film'':1', '');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('1', 'lexical', '0', '', '''beach'':1');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('1', 'summary', '-1', '''1'':2 ''film'':1', '''waves'':1');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('4', 'lexical', '-1', '''film'':1 ''gone'':2', '');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('4', 'summary', '-1', '''film'':1 ''gone'':2', '');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('5', 'lexical', '-1', '''1987'':17 ''album'':12 ''an'':11,14 ''artist'':15 ''augen'':4 ''drama'':21 ''ein'':1 ''fest'':2 ''fur'':3 ''ohren'':6 ''s00e07'':19 ''series'':9 ''summer'':25 ''susses'':23 ''the'':8 ''und'':5', '''beach'':1 ''bright'':3 ''calm'':7 ''carefree'':9 ''joyful'':5 ''sea'':11 ''speech'':13');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('5', 'lexical', '0', '', '''beach'':1 ''sun'':3');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('5', 'lexical', '1', '', '''beach'':1 ''sun'':3');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('5', 'lexical', '2', '', '''beach'':1 ''sun'':3');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('5', 'summary', '-1', '''augen'':4 ''ein'':1 ''fest'':2 ''fur'':3 ''he'':11 ''no'':13 ''ohren'':6 ''said'':12 ''series'':9 ''the'':8 ''und'':5 ''yes'':14', '''and'':2 ''embrace'':9 ''laugh'':5 ''people'':3,8 ''two'':7 ''waves'':1 ''who'':4');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('5', 'summary', '0', '', '''a'':4 ''beach'':5 ''onto'':3 ''roll'':2 ''waves'':1');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('5', 'summary', '1', '', '''a'':4 ''beach'':5 ''onto'':3 ''roll'':2 ''waves'':1');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('5', 'summary', '2', '', '''a'':4 ''beach'':5 ''onto'':3 ''roll'':2 ''waves'':1');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('7', 'lexical', '-1', '''film'':1 ''i0'':2', '');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('7', 'summary', '-1', '''film'':1 ''i0'':2', '');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('9', 'lexical', '-1', '''film'':1 ''i1'':2', '');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('9', 'summary', '-1', '''film'':1 ''i1'':2', '');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('11', 'lexical', '-1', '''film'':1 ''i2'':2', '');
insert into media_texts (media_item_id, channel, position, named, found)
  overriding system value values ('11', 'summary', '-1', '''film'':1 ''i2'':2', '');
insert into media_transcripts (media_item_id, position, start_s, end_s, text, words)
  overriding system value values ('5', '0', '1', '2.5', 'Süß, no?', '''no'':2A ''suss'':1A');
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('1', 'discord', 'e1', 'sent', 'message 5', '', '2026-11-20 17:18:05.322006+00', '2026-11-20 17:18:05.323273+00');
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('1', 'nats', 'e1', 'sending', '', '', '2026-11-20 17:18:05.349881+00', NULL);
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('5', 'discord', 'event-1', 'sent', 'message-1', '', '2026-11-20 17:18:05.686004+00', '2026-11-20 17:18:05.69398+00');
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('5', 'nats', 'event-1', 'sending', '', '', '2026-11-20 17:18:05.695438+00', NULL);
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('7', 'discord', 'event-i0', 'sent', '', '', '2026-11-20 17:18:05.840911+00', '2026-11-20 17:18:05.840911+00');
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('9', 'discord', 'event-i1', 'sent', '', '', '2026-11-20 17:18:05.840911+00', '2026-11-20 17:18:05.840911+00');
insert into publications (media_item_id, channel, event_id, state, receipt, error, claimed_at, settled_at)
  overriding system value values ('11', 'discord', 'event-i2', 'sent', '', '', '2026-11-20 17:18:05.840911+00', '2026-11-20 17:18:05.840911+00');
insert into publication_groups (id, channel, name, generation, state, event_id, receipt, error, created_at, claimed_at, settled_at, told_at)
  overriding system value values ('1', 'discord', 'jellyfin/series-1/season-1', '1', 'sent', 'group-event', 'message-2', '', '2026-11-20 17:18:05.773894+00', '2026-11-20 17:18:05.838558+00', '2026-11-20 17:18:05.840911+00', '2026-11-20 17:18:05.84146+00');
select setval(pg_get_serial_sequence('publication_groups', 'id'), 1000);
insert into gathered_publications (group_id, media_item_id, position, event_id, joined_at, gathered_at)
  overriding system value values ('1', '7', '1', 'event-i0', '2026-11-20 17:18:05.776776+00', '2026-11-20 17:18:05.776776+00');
insert into gathered_publications (group_id, media_item_id, position, event_id, joined_at, gathered_at)
  overriding system value values ('1', '9', '2', 'event-i1', '2026-11-20 17:18:05.797489+00', '2026-11-20 17:18:05.797489+00');
insert into gathered_publications (group_id, media_item_id, position, event_id, joined_at, gathered_at)
  overriding system value values ('1', '11', '3', 'event-i2', '2026-11-20 17:18:05.821258+00', '2026-11-20 17:18:05.821258+00');
select setval(pg_get_serial_sequence('gathered_publications', 'position'), 1000);
insert into published_events (sequence, id, topic, envelope, created_at)
  overriding system value values ('1', 'event-0', 'content.published.v1', E'{"id": "event-0", "title": "Süß \\\\ ''x''", "topic": "content.published.v1"}', '2026-11-20 17:18:05.350951+00');
insert into published_events (sequence, id, topic, envelope, created_at)
  overriding system value values ('2', 'event-1', 'content.published.v1', '{"id": "event-1", "title": "Süß", "topic": "content.published.v1"}', '2026-11-20 17:18:05.716598+00');
select setval(pg_get_serial_sequence('published_events', 'sequence'), 1000);
insert into reconciliations (server, reconciled_at)
  overriding system value values ('jellyfin', '2026-05-01 12:00:00+00');
insert into tag_edits (media_item_id, added, noted_at)
  overriding system value values ('5', '{moodreel:beach,moodreel:calm}', '2026-11-20 17:18:05.700416+00');
update moodreel.installation set installed_at = '2026-02-03 04:05:06+00';
