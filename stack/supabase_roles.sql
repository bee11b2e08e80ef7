-- The roles that PostgREST works with, as Supabase names them. Runs once, when the database is made;
-- what they may do is up to Moodreel's migrations.
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;

do $$ begin
  execute format('alter role authenticator password %L',
    trim(pg_read_file('/keys/authenticator_password')));
end $$;
