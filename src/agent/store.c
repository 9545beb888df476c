/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite in WAL mode. synchronous=NORMAL: a commit does not wait for the disk, so storing the steps of a start costs tens
 * of microseconds; a wish, and which image a service has, are made durable by a checkpoint of the log behind them.
 *
 * What may go wrong: the disk is full (the call fails, the agent decides), another process holds the lock longer than the
 * timeout (busy), the file is damaged (put aside at opening; found later, it is an error).
 */
#include "agent/store_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strv.h"

/* The log is read by whoever opens the database first: 400 KiB at most, which takes a fraction of a millisecond. */
enum { BUSY_TIMEOUT_MSEC = 5000, LOG_PAGES = 100 };

static const char schema[] =
        "CREATE TABLE IF NOT EXISTS deployment(name TEXT PRIMARY KEY, spec TEXT NOT NULL,"
        " active INTEGER NOT NULL, updated_at INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS replica(name TEXT PRIMARY KEY, phase TEXT NOT NULL, image TEXT,"
        " hash TEXT, reason TEXT, restarts INTEGER NOT NULL, updated_at INTEGER NOT NULL,"
        " health TEXT) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS event(seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        " time INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL);"
        "CREATE TABLE IF NOT EXISTS execution(id INTEGER PRIMARY KEY, deployment TEXT NOT NULL,"
        " service TEXT NOT NULL, number INTEGER NOT NULL, trigger TEXT NOT NULL,"
        " state TEXT NOT NULL, scheduled_at INTEGER NOT NULL, created_at INTEGER NOT NULL,"
        " started_at INTEGER NOT NULL, finished_at INTEGER NOT NULL, exit_code INTEGER NOT NULL,"
        " retries INTEGER NOT NULL, reason TEXT);"
        "CREATE INDEX IF NOT EXISTS execution_of ON execution(deployment, service, id);"
        "CREATE TABLE IF NOT EXISTS schedule(deployment TEXT NOT NULL, service TEXT NOT NULL,"
        " enabled INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY(deployment, service))"
        " WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS pin(deployment TEXT NOT NULL, service TEXT NOT NULL,"
        " image TEXT NOT NULL, digest TEXT NOT NULL, moved INTEGER NOT NULL,"
        " PRIMARY KEY(deployment, service)) WITHOUT ROWID;";

static enum zl_code code_of(int rc)
{
        switch (rc & 0xff) {
        case SQLITE_FULL:
                return ZL_E_NO_SPACE;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return ZL_E_BUSY;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return ZL_E_CORRUPT;
        case SQLITE_PERM:
        case SQLITE_READONLY:
                return ZL_E_PERMISSION;
        case SQLITE_NOMEM:
                return ZL_E_NO_SPACE;
        default:
                return ZL_E_IO;
        }
}

int zl_store_fail(struct zl_store *store, int rc, const char *what, struct zl_error *err)
{
        /* It may be ours, as of the lock beside it. */
        bool said = store->db && sqlite3_errcode(store->db) != SQLITE_OK;
        int r = zl_fail(err, code_of(rc), 0, "cannot %s in the agent's database: %s", what,
                        said ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc));

        if (code_of(rc) == ZL_E_NO_SPACE)
                zl_error_hint(err, "make room on the disk of the root directory");
        return r;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static int take_version(void *version, int n, char **values, char **names)
{
        (void)n;
        (void)names;
        *(int *)version = atoi(values[0]);
        return 0;
}

/* FNV-1a of the schema: who changes it need not think of a number. */
static int schema_version(void)
{
        uint32_t h = 2166136261;

        for (const char *p = schema; *p; p++)
                h = (h ^ (unsigned char)*p) * 16777619;
        return (int)(h >> 1);
}

/* The first databases had no health. */
static int migrate(sqlite3 *db)
{
        static const char probe[] = "SELECT health FROM replica LIMIT 0";

        if (sqlite3_exec(db, probe, NULL, NULL, NULL) == SQLITE_OK)
                return SQLITE_OK;
        return sqlite3_exec(db, "ALTER TABLE replica ADD COLUMN health TEXT", NULL, NULL, NULL);
}

static bool has_tables(sqlite3 *db, int *rc)
{
        int version = 0;

        *rc = sqlite3_exec(db, "PRAGMA user_version", take_version, &version, NULL);
        return *rc == SQLITE_OK && version == schema_version();
}

/* Only if they are not there: even setting the version to what it is would write to the disk, and closing wait for it. Two
 * processes may come here at once, and SQLite does not wait for the lock that a change of the journal takes: one by one. */
static int make_tables(struct zl_store *store)
{
        _cleanup_close_ int dir = -EBADF;
        char set_version[48];
        int rc;

        if (has_tables(store->db, &rc) || rc != SQLITE_OK)
                return rc;
        dir = open(store->root_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || zl_lock_fd(dir, true, true) < 0)
                return SQLITE_CANTOPEN;
        if (has_tables(store->db, &rc) || rc != SQLITE_OK)
                return rc;
        rc = sqlite3_exec(store->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(store->db, schema, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = migrate(store->db);
        snprintf(set_version, sizeof(set_version), "PRAGMA user_version=%d", schema_version());
        return rc == SQLITE_OK ? sqlite3_exec(store->db, set_version, NULL, NULL, NULL) : rc;
}

static int try_open(struct zl_store *store, const char *path, bool create)
{
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
        int rc = sqlite3_open_v2(path, &store->db, flags | (create ? SQLITE_OPEN_CREATE : 0), NULL);

        if (rc != SQLITE_OK)
                return rc;
        sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MSEC);
        /* The last one to close would empty the log and wait for the disk three times. */
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_wal_autocheckpoint(store->db, LOG_PAGES);
        rc = sqlite3_exec(store->db, "PRAGMA synchronous=NORMAL;", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = make_tables(store);
        if (rc == SQLITE_OK)
                rc = sqlite3_prepare_v3(store->db,
                                        "INSERT INTO event(time, name, body) VALUES(?1, ?2, ?3)",
                                        -1, SQLITE_PREPARE_PERSISTENT, &store->put_event, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_prepare_v3(store->db,
                                        "INSERT OR REPLACE INTO replica VALUES(?1,?2,?3,"
                                        "coalesce(?4,(SELECT hash FROM replica WHERE name=?1)),"
                                        "?5,?6,?7,?8)",
                                        -1, SQLITE_PREPARE_PERSISTENT, &store->put_replica, NULL);
        return rc;
}

static void close_db(struct zl_store *store)
{
        sqlite3_finalize(store->put_event);
        sqlite3_finalize(store->put_replica);
        sqlite3_close(store->db);
        *store = (struct zl_store){ .root_dir = store->root_dir };
}

/* Renames the database and what belongs to it, so that a human can look at it. */
static int put_aside(const char *path)
{
        static const char *const parts[] = { "", "-wal", "-shm" };
        long long stamp = zl_now_realtime() / ZL_NSEC_PER_SEC;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(parts); i++) {
                _cleanup_free_ char *from = NULL, *to = NULL;

                if (asprintf(&from, "%s%s", path, parts[i]) < 0 ||
                    asprintf(&to, "%s.damaged-%lld%s", path, stamp, parts[i]) < 0)
                        return -ENOMEM;
                if (rename(from, to) < 0 && (errno != ENOENT || i == 0))
                        return -errno;
        }
        return 0;
}

static int open_store(const char *root_dir, bool create, struct zl_store **ret,
                      struct zl_error *err)
{
        _cleanup_free_ char *path = zl_path_join(root_dir, "agent.db");
        struct zl_store *store = calloc(1, sizeof(*store));
        int rc, r;

        if (store)
                store->root_dir = strdup(root_dir);
        if (!path || !store || !store->root_dir) {
                zl_store_close(store);
                return zl_fail_oom(err);
        }
        rc = try_open(store, path, create);
        if (code_of(rc) == ZL_E_CORRUPT && rc != SQLITE_OK) {
                close_db(store);
                r = put_aside(path);
                if (r < 0) {
                        zl_store_close(store);
                        return zl_fail_errno(err, -r, "cannot put the damaged %s aside", path);
                }
                zl_warn("%s was damaged; it is put aside and a new one begun", path);
                rc = try_open(store, path, true);
        }
        if (rc != SQLITE_OK) {
                r = zl_store_fail(store, rc, "open or prepare tables", err);
                zl_error_prefix(err, "%s", path);
                zl_store_close(store);
                return r;
        }
        *ret = store;
        return 0;
}

int zl_store_open(const char *root_dir, struct zl_store **ret, struct zl_error *err)
{
        _cleanup_close_ int dir = zl_open_dir_at(AT_FDCWD, root_dir, 0711, err);

        if (dir < 0)
                return dir;
        return open_store(root_dir, true, ret, err);
}

int zl_store_open_existing(const char *root_dir, struct zl_store **ret, struct zl_error *err)
{
        _cleanup_free_ char *path = zl_path_join(root_dir, "agent.db");

        if (!path)
                return zl_fail_oom(err);
        *ret = NULL;
        if (access(path, F_OK) < 0)
                return 0;
        return open_store(root_dir, false, ret, err);
}

void zl_store_close(struct zl_store *store)
{
        if (!store)
                return;
        close_db(store);
        free(store->root_dir);
        free(store);
}

const char *zl_store_root_dir(const struct zl_store *store)
{
        return store->root_dir;
}

/* ---- statements ---------------------------------------------------------------------------------------------- */

int zl_store_prepare(struct zl_store *store, const char *sql, sqlite3_stmt **ret,
                     struct zl_error *err)
{
        int rc = sqlite3_prepare_v2(store->db, sql, -1, ret, NULL);

        return rc == SQLITE_OK ? 0 : zl_store_fail(store, rc, "prepare a statement", err);
}

void zl_store_bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
        if (text)
                sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC);
        else
                sqlite3_bind_null(stmt, at);
}

int zl_store_run(struct zl_store *store, sqlite3_stmt *stmt, const char *what, struct zl_error *err)
{
        int rc = sqlite3_step(stmt);
        int r = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : zl_store_fail(store, rc, what, err);

        sqlite3_reset(stmt);
        sqlite3_clear_bindings(stmt);
        return r;
}

int zl_store_take_text(sqlite3_stmt *stmt, int column, char **ret)
{
        const char *text = (const char *)sqlite3_column_text(stmt, column);

        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

/* ---- deployments ----------------------------------------------------------------------------------------------- */

/* Those of a deployment, also what a power loss brought back. */
static int forget_replicas(struct zl_store *store, const char *deployment, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r = zl_store_prepare(
                store, "DELETE FROM replica WHERE substr(name, 1, length(?1) + 1) = ?1 || '.'",
                &stmt, err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, deployment);
        return zl_store_run(store, stmt, "forget the replicas of a deployment", err);
}

static int forget_pins(struct zl_store *store, const char *deployment, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r = zl_store_prepare(store, "DELETE FROM pin WHERE deployment = ?1", &stmt, err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, deployment);
        return zl_store_run(store, stmt, "forget images", err);
}

/* The checkpoint syncs. A reader in the middle of the log makes it incomplete but the log itself is synced. */
static int make_durable(struct zl_store *store, const char *what, struct zl_error *err)
{
        int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

        return rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY ? 0
                                                             : zl_store_fail(store, rc, what, err);
}

int zl_store_put_deployment(struct zl_store *store, const char *name, const char *spec,
                            enum zl_care care, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r;

        r = zl_store_prepare(store,
                             spec ? "INSERT OR REPLACE INTO deployment VALUES(?1, ?2, ?3, ?4)"
                                  : "DELETE FROM deployment WHERE name = ?1",
                             &stmt, err);
        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, name);
        if (spec) {
                zl_store_bind_text(stmt, 2, spec);
                sqlite3_bind_int(stmt, 3, care);
                sqlite3_bind_int64(stmt, 4, zl_now_realtime());
        }
        r = zl_store_run(store, stmt, "store a deployment", err);
        if (r >= 0 && !spec)
                r = forget_replicas(store, name, err);
        if (r >= 0 && !spec)
                r = forget_pins(store, name, err);
        if (r < 0)
                return r;
        return make_durable(store, "make a deployment durable", err);
}

int zl_store_get_deployment(struct zl_store *store, const char *name, char **ret_spec,
                            bool *ret_active, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r, rc;

        r = zl_store_prepare(store, "SELECT spec, active FROM deployment WHERE name = ?1", &stmt,
                             err);
        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, name);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return zl_store_fail(store, rc, "look up a deployment", err);
        if (ret_spec && zl_store_take_text(stmt, 0, ret_spec) < 0)
                return zl_fail_oom(err);
        *ret_active = sqlite3_column_int(stmt, 1) == ZL_CARE_NOW;
        return 1;
}

int zl_store_awaits_start(struct zl_store *store, const char *name, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int rc, r = zl_store_prepare(store,
                                     "SELECT 1 FROM deployment WHERE name = ?1 AND active = ?2",
                                     &stmt, err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, name);
        sqlite3_bind_int(stmt, 2, ZL_CARE_NEXT_START);
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return zl_store_fail(store, rc, "look up a deployment", err);
        return rc == SQLITE_ROW;
}

int zl_store_list_deployments(struct zl_store *store, char ***ret, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        _cleanup_strv_ char **names = NULL;
        int r, rc;

        r = zl_store_prepare(store, "SELECT name FROM deployment ORDER BY name", &stmt, err);
        if (r < 0)
                return r;
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
                if (zl_strv_push(&names, (const char *)sqlite3_column_text(stmt, 0)) < 0)
                        return zl_fail_oom(err);
        if (rc != SQLITE_DONE)
                return zl_store_fail(store, rc, "list deployments", err);
        *ret = zl_take_ptr(names);
        return 0;
}

/* ---- replicas ----------------------------------------------------------------------------------------------------- */

int zl_store_put_replica(struct zl_store *store, const struct zl_replica_record *record,
                         struct zl_error *err)
{
        sqlite3_stmt *stmt = store->put_replica;

        zl_store_bind_text(stmt, 1, record->name);
        zl_store_bind_text(stmt, 2, record->phase);
        zl_store_bind_text(stmt, 3, record->image);
        zl_store_bind_text(stmt, 4, record->hash);
        zl_store_bind_text(stmt, 5, record->reason);
        sqlite3_bind_int64(stmt, 6, record->restarts);
        sqlite3_bind_int64(stmt, 7, zl_now_realtime());
        zl_store_bind_text(stmt, 8, record->health);
        return zl_store_run(store, stmt, "store the state of a replica", err);
}

int zl_store_forget_replica(struct zl_store *store, const char *name, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r = zl_store_prepare(store, "DELETE FROM replica WHERE name = ?1", &stmt, err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, name);
        return zl_store_run(store, stmt, "forget a replica", err);
}

void zl_stored_replica_free(struct zl_stored_replica *replicas, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(replicas[i].name);
                free(replicas[i].phase);
                free(replicas[i].image);
                free(replicas[i].hash);
                free(replicas[i].reason);
                free(replicas[i].health);
        }
        free(replicas);
}

static int read_replica(sqlite3_stmt *stmt, struct zl_stored_replica *at)
{
        *at = (struct zl_stored_replica){ 0 };
        if (zl_store_take_text(stmt, 0, &at->name) < 0 ||
            zl_store_take_text(stmt, 1, &at->phase) < 0 ||
            zl_store_take_text(stmt, 2, &at->image) < 0 ||
            zl_store_take_text(stmt, 3, &at->hash) < 0 ||
            zl_store_take_text(stmt, 4, &at->reason) < 0)
                return -ENOMEM;
        at->restarts = (uint32_t)sqlite3_column_int64(stmt, 5);
        at->updated_at = sqlite3_column_int64(stmt, 6);
        if (zl_store_take_text(stmt, 7, &at->health) < 0)
                return -ENOMEM;
        return 0;
}

#define REPLICA_COLUMNS "name, phase, image, hash, reason, restarts, updated_at, health"

/* The names are the key, and '/' is what comes behind '.', so all names that begin with the same part are one range of it. A service of any
 * deployment is such a range in each of them; from one deployment the query jumps to the next. Rows that are not meant are not read. */
static const char *replicas_query(const char *name)
{
        struct zl_ident id;

        if (!name)
                return "SELECT " REPLICA_COLUMNS " FROM replica ORDER BY name";
        if (zl_ident_parse(name, &id) == 0)
                return "SELECT " REPLICA_COLUMNS " FROM replica WHERE name = ?1";
        if (strchr(name, '.'))
                return "SELECT " REPLICA_COLUMNS " FROM replica"
                       " WHERE name > ?1 || '.' AND name < ?1 || '/' ORDER BY name";
        return "WITH RECURSIVE first(x) AS (SELECT min(name) FROM replica UNION ALL"
               " SELECT (SELECT min(name) FROM replica"
               " WHERE name > substr(x, 1, instr(x, '.') - 1) || '/')"
               " FROM first WHERE x IS NOT NULL),"
               " part(p) AS (SELECT ?1 UNION"
               " SELECT substr(x, 1, instr(x, '.')) || ?1 FROM first WHERE x IS NOT NULL)"
               " SELECT DISTINCT " REPLICA_COLUMNS " FROM part CROSS JOIN replica"
               " WHERE name > p || '.' AND name < p || '/' ORDER BY name";
}

int zl_store_list_replicas(struct zl_store *store, const char *name, struct zl_stored_replica **ret,
                           size_t *ret_n, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        struct zl_stored_replica *list = NULL;
        size_t n = 0;
        int r, rc;

        r = zl_store_prepare(store, replicas_query(name), &stmt, err);
        if (r < 0)
                return r;
        if (name)
                zl_store_bind_text(stmt, 1, name);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                struct zl_stored_replica *more = reallocarray(list, n + 1, sizeof(*more));

                if (more)
                        list = more;
                if (!more || read_replica(stmt, &list[n++]) < 0) {
                        zl_stored_replica_free(list, n);
                        return zl_fail_oom(err);
                }
        }
        if (rc != SQLITE_DONE) {
                zl_stored_replica_free(list, n);
                return zl_store_fail(store, rc, "list replicas", err);
        }
        *ret = list;
        *ret_n = n;
        return 0;
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

static int drop_old_events(struct zl_store *store, int64_t seq, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r;

        if (seq <= ZL_STORE_EVENTS_MAX || seq % 1000 != 0)
                return 0;
        r = zl_store_prepare(store, "DELETE FROM event WHERE seq <= ?1", &stmt, err);
        if (r < 0)
                return r;
        sqlite3_bind_int64(stmt, 1, seq - ZL_STORE_EVENTS_MAX);
        return zl_store_run(store, stmt, "drop old events", err);
}

int zl_store_put_event(struct zl_store *store, const struct zl_event *event, int64_t *ret_seq,
                       struct zl_error *err)
{
        _cleanup_json_ json_t *json = zl_event_to_json(event);
        _cleanup_free_ char *body = NULL;
        int64_t seq;
        int r;

        /* The number is the row's own and put in front when it is read. */
        if (json)
                json_object_del(json, "seq");
        body = json ? zl_json_dump(json, 0) : NULL;
        if (!body)
                return zl_fail_oom(err);
        sqlite3_bind_int64(store->put_event, 1, event->time);
        zl_store_bind_text(store->put_event, 2, event->name);
        zl_store_bind_text(store->put_event, 3, body);
        r = zl_store_run(store, store->put_event, "store an event", err);
        if (r < 0)
                return r;
        seq = sqlite3_last_insert_rowid(store->db);
        if (ret_seq)
                *ret_seq = seq;
        return drop_old_events(store, seq, err);
}

int zl_store_read_events(struct zl_store *store, int64_t after,
                         int (*each)(int64_t seq, int64_t time, const char *json, void *data),
                         void *data, int64_t *ret_last, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r, rc;

        *ret_last = after;
        r = zl_store_prepare(store, "SELECT seq, time, body FROM event WHERE seq > ?1 ORDER BY seq",
                             &stmt, err);
        if (r < 0)
                return r;
        sqlite3_bind_int64(stmt, 1, after);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                _cleanup_free_ char *text = NULL;
                int64_t seq = sqlite3_column_int64(stmt, 0);
                const char *body = (const char *)sqlite3_column_text(stmt, 2);

                /* every body is an object with at least its time */
                if (!body || body[0] != '{')
                        return zl_fail(err, ZL_E_CORRUPT, 0, "event %lld is damaged",
                                       (long long)seq);
                if (asprintf(&text, "{\"seq\":%lld,%s", (long long)seq, body + 1) < 0)
                        return zl_fail_oom(err);
                r = each(seq, sqlite3_column_int64(stmt, 1), text, data);
                if (r < 0)
                        return r;
                *ret_last = seq;
        }
        return rc == SQLITE_DONE ? 0 : zl_store_fail(store, rc, "read events", err);
}

int zl_store_last_event(struct zl_store *store, int64_t *ret, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r, rc;

        r = zl_store_prepare(store, "SELECT coalesce(max(seq), 0) FROM event", &stmt, err);
        if (r < 0)
                return r;
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW)
                return zl_store_fail(store, rc, "read events", err);
        *ret = sqlite3_column_int64(stmt, 0);
        return 0;
}

/* ---- images ------------------------------------------------------------------------------------------------------ */

int zl_store_put_pin(struct zl_store *store, const struct zl_stored_pin *pin, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r = zl_store_prepare(store, "INSERT OR REPLACE INTO pin VALUES(?1,?2,?3,?4,?5)", &stmt,
                                 err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, pin->deployment);
        zl_store_bind_text(stmt, 2, pin->service);
        zl_store_bind_text(stmt, 3, pin->image);
        zl_store_bind_text(stmt, 4, pin->pin.digest);
        sqlite3_bind_int(stmt, 5, pin->pin.moved);
        r = zl_store_run(store, stmt, "store which image a service has", err);
        /* Replicas of one service from two images would outlive the power loss that takes this away. */
        return r < 0 ? r : make_durable(store, "make durable which image a service has", err);
}

int zl_store_get_pin(struct zl_store *store, struct zl_stored_pin *pin, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int rc, r = zl_store_prepare(store,
                                     "SELECT digest, moved FROM pin WHERE deployment = ?1 AND"
                                     " service = ?2 AND image = ?3",
                                     &stmt, err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, pin->deployment);
        zl_store_bind_text(stmt, 2, pin->service);
        zl_store_bind_text(stmt, 3, pin->image);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return zl_store_fail(store, rc, "look up which image a service has", err);
        snprintf(pin->pin.digest, sizeof(pin->pin.digest), "%s",
                 (const char *)sqlite3_column_text(stmt, 0));
        pin->pin.moved = sqlite3_column_int(stmt, 1);
        return 1;
}
