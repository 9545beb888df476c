/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs in the store: one row per execution, replaced at each change of it, and one per schedule. Of ended executions the
 * newest ZL_STORE_EXECUTIONS_MAX per job are kept.
 */
#include "agent/store_private.h"

enum { COLUMNS = 13 };

int zl_store_put_execution(struct zl_store *store, const struct zl_execution_record *record,
                           struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r = zl_store_prepare(
                store, "INSERT OR REPLACE INTO execution VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)", &stmt,
                err);

        if (r < 0)
                return r;
        sqlite3_bind_int64(stmt, 1, record->id);
        zl_store_bind_text(stmt, 2, record->deployment);
        zl_store_bind_text(stmt, 3, record->service);
        sqlite3_bind_int64(stmt, 4, record->number);
        zl_store_bind_text(stmt, 5, zl_trigger_name(record->trigger));
        zl_store_bind_text(stmt, 6, zl_execution_state_name(record->state));
        sqlite3_bind_int64(stmt, 7, record->scheduled_at);
        sqlite3_bind_int64(stmt, 8, record->created_at);
        sqlite3_bind_int64(stmt, 9, record->started_at);
        sqlite3_bind_int64(stmt, 10, record->finished_at);
        sqlite3_bind_int(stmt, 11, record->exit_code);
        sqlite3_bind_int64(stmt, 12, record->retries);
        zl_store_bind_text(stmt, COLUMNS, record->reason);
        return zl_store_run(store, stmt, "store an execution", err);
}

int zl_store_trim_executions(struct zl_store *store, const char *deployment, const char *service,
                             struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r = zl_store_prepare(store,
                                 "DELETE FROM execution WHERE deployment=?1 AND service=?2 AND"
                                 " finished_at>0 AND id NOT IN (SELECT id FROM execution WHERE"
                                 " deployment=?1 AND service=?2 ORDER BY id DESC LIMIT ?3)",
                                 &stmt, err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, deployment);
        zl_store_bind_text(stmt, 2, service);
        sqlite3_bind_int(stmt, 3, ZL_STORE_EXECUTIONS_MAX);
        return zl_store_run(store, stmt, "drop old executions", err);
}

static const char *text_of(sqlite3_stmt *stmt, int column)
{
        return (const char *)sqlite3_column_text(stmt, column);
}

/* The strings are the statement's. A row that a newer version wrote in words we do not know is passed over. */
static bool read_execution(sqlite3_stmt *stmt, struct zl_execution_record *ret)
{
        *ret = (struct zl_execution_record){
                .id = sqlite3_column_int64(stmt, 0),
                .deployment = text_of(stmt, 1),
                .service = text_of(stmt, 2),
                .number = (uint32_t)sqlite3_column_int64(stmt, 3),
                .scheduled_at = sqlite3_column_int64(stmt, 6),
                .created_at = sqlite3_column_int64(stmt, 7),
                .started_at = sqlite3_column_int64(stmt, 8),
                .finished_at = sqlite3_column_int64(stmt, 9),
                .exit_code = sqlite3_column_int(stmt, 10),
                .retries = (uint32_t)sqlite3_column_int64(stmt, 11),
                .reason = text_of(stmt, 12),
        };
        return zl_trigger_parse(text_of(stmt, 4), &ret->trigger) == 0 &&
               zl_execution_state_parse(text_of(stmt, 5), &ret->state) == 0;
}

int zl_store_read_executions(struct zl_store *store, const char *deployment, const char *service,
                             int (*each)(const struct zl_execution_record *record, void *data),
                             void *data, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        struct zl_execution_record record;
        int rc, r = zl_store_prepare(store,
                                     "SELECT * FROM execution WHERE (?1 IS NULL OR deployment=?1)"
                                     " AND (?2 IS NULL OR service=?2) ORDER BY id",
                                     &stmt, err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, deployment);
        zl_store_bind_text(stmt, 2, service);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
                if (read_execution(stmt, &record)) {
                        r = each(&record, data);
                        if (r < 0)
                                return r;
                }
        return rc == SQLITE_DONE ? 0 : zl_store_fail(store, rc, "read executions", err);
}

int zl_store_put_schedule(struct zl_store *store, const char *deployment, const char *service,
                          const struct zl_schedule *schedule, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int r = zl_store_prepare(store, "INSERT OR REPLACE INTO schedule VALUES(?,?,?,?)", &stmt,
                                 err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, deployment);
        zl_store_bind_text(stmt, 2, service);
        sqlite3_bind_int(stmt, 3, schedule->enabled);
        sqlite3_bind_int64(stmt, 4, schedule->last);
        return zl_store_run(store, stmt, "store a schedule", err);
}

int zl_store_get_schedule(struct zl_store *store, const char *deployment, const char *service,
                          struct zl_schedule *ret, struct zl_error *err)
{
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        int rc, r = zl_store_prepare(
                        store,
                        "SELECT enabled, last FROM schedule WHERE deployment=? AND service=?",
                        &stmt, err);

        if (r < 0)
                return r;
        zl_store_bind_text(stmt, 1, deployment);
        zl_store_bind_text(stmt, 2, service);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return zl_store_fail(store, rc, "read a schedule", err);
        *ret = (struct zl_schedule){ .enabled = sqlite3_column_int(stmt, 0),
                                     .last = sqlite3_column_int64(stmt, 1) };
        return 1;
}
