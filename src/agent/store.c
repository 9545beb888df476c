/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite in WAL mode. synchronous=NORMAL: a commit does not wait for the disk, so storing the steps of a start costs tens
 * of microseconds; a wish is made durable by a checkpoint of the log behind it.
 *
 * What may go wrong: the disk is full (the call fails, the agent decides), another process holds the lock longer than the
 * timeout (busy), the file is damaged (put aside at opening; found later, it is an error).
 */
#include "agent/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strv.h"

enum { BUSY_TIMEOUT_MSEC = 5000, SCHEMA_VERSION = 1 };

struct zl_store {
        sqlite3 *db;
        sqlite3_stmt *put_event, *put_replica; /* prepared once, used at every step of a start */
};

static const char schema[] =
        "CREATE TABLE IF NOT EXISTS deployment(name TEXT PRIMARY KEY, spec TEXT NOT NULL,"
        " active INTEGER NOT NULL, updated_at INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS replica(name TEXT PRIMARY KEY, phase TEXT NOT NULL, image TEXT,"
        " hash TEXT, reason TEXT, restarts INTEGER NOT NULL, updated_at INTEGER NOT NULL)"
        " WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS event(seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        " time INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL);"
        "PRAGMA user_version=1;";

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

static int fail(struct zl_store *store, int rc, const char *what, struct zl_error *err)
{
        int r = zl_fail(err, code_of(rc), 0, "cannot %s in the agent's database: %s", what,
                        store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc));

        if (code_of(rc) == ZL_E_NO_SPACE)
                zl_error_hint(err, "make room on the disk of the root directory");
        return r;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static int try_open(struct zl_store *store, const char *path, bool create)
{
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
        int rc = sqlite3_open_v2(path, &store->db, flags | (create ? SQLITE_OPEN_CREATE : 0), NULL);

        if (rc != SQLITE_OK)
                return rc;
        sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MSEC);
        rc = sqlite3_exec(store->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", NULL,
                          NULL, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(store->db, schema, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_prepare_v3(store->db,
                                        "INSERT INTO event(time, name, body) VALUES(?1, ?2, ?3)",
                                        -1, SQLITE_PREPARE_PERSISTENT, &store->put_event, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_prepare_v3(store->db,
                                        "INSERT OR REPLACE INTO replica VALUES(?1,?2,?3,"
                                        "coalesce(?4,(SELECT hash FROM replica WHERE name=?1)),"
                                        "?5,?6,?7)",
                                        -1, SQLITE_PREPARE_PERSISTENT, &store->put_replica, NULL);
        return rc;
}

static void close_db(struct zl_store *store)
{
        sqlite3_finalize(store->put_event);
        sqlite3_finalize(store->put_replica);
        sqlite3_close(store->db);
        *store = (struct zl_store){ 0 };
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

        if (!path || !store) {
                free(store);
                return zl_fail_oom(err);
        }
        rc = try_open(store, path, create);
        if (code_of(rc) == ZL_E_CORRUPT && rc != SQLITE_OK) {
                close_db(store);
                r = put_aside(path);
                if (r < 0) {
                        free(store);
                        return zl_fail_errno(err, -r, "cannot put the damaged %s aside", path);
                }
                zl_warn("%s was damaged; it is put aside and a new one begun", path);
                rc = try_open(store, path, true);
        }
        if (rc != SQLITE_OK) {
                r = fail(store, rc, "open or prepare tables", err);
                zl_error_prefix(err, "%s", path);
                close_db(store);
                free(store);
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
        free(store);
}

/* ---- statements ---------------------------------------------------------------------------------------------- */

static void finalizep(sqlite3_stmt **stmt)
{
        sqlite3_finalize(*stmt);
}
#define _cleanup_stmt_ _cleanup_(finalizep)

static int prepare(struct zl_store *store, const char *sql, sqlite3_stmt **ret,
                   struct zl_error *err)
{
        int rc = sqlite3_prepare_v2(store->db, sql, -1, ret, NULL);

        return rc == SQLITE_OK ? 0 : fail(store, rc, "prepare a statement", err);
}

static void bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
        if (text)
                sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC);
        else
                sqlite3_bind_null(stmt, at);
}

/* Runs a statement that returns no rows and makes it ready for the next time. */
static int run(struct zl_store *store, sqlite3_stmt *stmt, const char *what, struct zl_error *err)
{
        int rc = sqlite3_step(stmt);
        int r = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : fail(store, rc, what, err);

        sqlite3_reset(stmt);
        sqlite3_clear_bindings(stmt);
        return r;
}

static int take_text(sqlite3_stmt *stmt, int column, char **ret)
{
        const char *text = (const char *)sqlite3_column_text(stmt, column);

        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

/* ---- deployments ----------------------------------------------------------------------------------------------- */

int zl_store_put_deployment(struct zl_store *store, const char *name, const char *spec, bool active,
                            struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r, rc;

        r = prepare(store,
                    spec ? "INSERT OR REPLACE INTO deployment VALUES(?1, ?2, ?3, ?4)"
                         : "DELETE FROM deployment WHERE name = ?1",
                    &stmt, err);
        if (r < 0)
                return r;
        bind_text(stmt, 1, name);
        if (spec) {
                bind_text(stmt, 2, spec);
                sqlite3_bind_int(stmt, 3, active);
                sqlite3_bind_int64(stmt, 4, zl_now_realtime());
        }
        r = run(store, stmt, "store a deployment", err);
        if (r < 0)
                return r;
        /* The checkpoint syncs. A reader in the middle of the log makes it incomplete but the log itself is synced. */
        rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
                return fail(store, rc, "make a deployment durable", err);
        return 0;
}

int zl_store_get_deployment(struct zl_store *store, const char *name, char **ret_spec,
                            bool *ret_active, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r, rc;

        r = prepare(store, "SELECT spec, active FROM deployment WHERE name = ?1", &stmt, err);
        if (r < 0)
                return r;
        bind_text(stmt, 1, name);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return fail(store, rc, "look up a deployment", err);
        if (ret_spec && take_text(stmt, 0, ret_spec) < 0)
                return zl_fail_oom(err);
        *ret_active = sqlite3_column_int(stmt, 1);
        return 1;
}

int zl_store_list_deployments(struct zl_store *store, char ***ret, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        _cleanup_strv_ char **names = NULL;
        int r, rc;

        r = prepare(store, "SELECT name FROM deployment ORDER BY name", &stmt, err);
        if (r < 0)
                return r;
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
                if (zl_strv_push(&names, (const char *)sqlite3_column_text(stmt, 0)) < 0)
                        return zl_fail_oom(err);
        if (rc != SQLITE_DONE)
                return fail(store, rc, "list deployments", err);
        *ret = zl_take_ptr(names);
        return 0;
}

/* ---- replicas ----------------------------------------------------------------------------------------------------- */

int zl_store_put_replica(struct zl_store *store, const struct zl_replica_record *record,
                         struct zl_error *err)
{
        sqlite3_stmt *stmt = store->put_replica;

        bind_text(stmt, 1, record->name);
        bind_text(stmt, 2, record->phase);
        bind_text(stmt, 3, record->image);
        bind_text(stmt, 4, record->hash);
        bind_text(stmt, 5, record->reason);
        sqlite3_bind_int64(stmt, 6, record->restarts);
        sqlite3_bind_int64(stmt, 7, zl_now_realtime());
        return run(store, stmt, "store the state of a replica", err);
}

int zl_store_forget_replica(struct zl_store *store, const char *name, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r = prepare(store, "DELETE FROM replica WHERE name = ?1", &stmt, err);

        if (r < 0)
                return r;
        bind_text(stmt, 1, name);
        return run(store, stmt, "forget a replica", err);
}

void zl_stored_replica_free(struct zl_stored_replica *replicas, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(replicas[i].name);
                free(replicas[i].phase);
                free(replicas[i].image);
                free(replicas[i].hash);
                free(replicas[i].reason);
        }
        free(replicas);
}

static int read_replica(sqlite3_stmt *stmt, struct zl_stored_replica *at)
{
        *at = (struct zl_stored_replica){ 0 };
        if (take_text(stmt, 0, &at->name) < 0 || take_text(stmt, 1, &at->phase) < 0 ||
            take_text(stmt, 2, &at->image) < 0 || take_text(stmt, 3, &at->hash) < 0 ||
            take_text(stmt, 4, &at->reason) < 0)
                return -ENOMEM;
        at->restarts = (uint32_t)sqlite3_column_int64(stmt, 5);
        at->updated_at = sqlite3_column_int64(stmt, 6);
        return 0;
}

int zl_store_list_replicas(struct zl_store *store, const char *name, struct zl_stored_replica **ret,
                           size_t *ret_n, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        struct zl_stored_replica *list = NULL;
        size_t n = 0;
        int r, rc;

        r = prepare(store,
                    "SELECT name, phase, image, hash, reason, restarts, updated_at FROM replica"
                    " WHERE ?1 IS NULL OR name = ?1 ORDER BY name",
                    &stmt, err);
        if (r < 0)
                return r;
        bind_text(stmt, 1, name);
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
                return fail(store, rc, "list replicas", err);
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
        r = prepare(store, "DELETE FROM event WHERE seq <= ?1", &stmt, err);
        if (r < 0)
                return r;
        sqlite3_bind_int64(stmt, 1, seq - ZL_STORE_EVENTS_MAX);
        return run(store, stmt, "drop old events", err);
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
        bind_text(store->put_event, 2, event->name);
        bind_text(store->put_event, 3, body);
        r = run(store, store->put_event, "store an event", err);
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
        r = prepare(store, "SELECT seq, time, body FROM event WHERE seq > ?1 ORDER BY seq", &stmt,
                    err);
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
        return rc == SQLITE_DONE ? 0 : fail(store, rc, "read events", err);
}

int zl_store_last_event(struct zl_store *store, int64_t *ret, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r, rc;

        r = prepare(store, "SELECT coalesce(max(seq), 0) FROM event", &stmt, err);
        if (r < 0)
                return r;
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW)
                return fail(store, rc, "read events", err);
        *ret = sqlite3_column_int64(stmt, 0);
        return 0;
}
