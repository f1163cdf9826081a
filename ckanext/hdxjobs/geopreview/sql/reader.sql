-- Settings of the role that web requests use; run by db.init when it is a role of its own.
ALTER ROLE {tiles} IN DATABASE {database} SET default_transaction_read_only = on;

ALTER ROLE {tiles} IN DATABASE {database} SET statement_timeout = '10s';

ALTER ROLE {tiles} IN DATABASE {database} SET jit = off;

ALTER ROLE {tiles} IN DATABASE {database} SET max_parallel_workers_per_gather = 0;
