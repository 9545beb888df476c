/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share: the database and small helpers for statements. Nobody else includes this. */
#pragma once

#include <sqlite3.h>

#include "agent/store.h"

struct zl_store {
        char *root_dir;
        sqlite3 *db;
        sqlite3_stmt *put_event, *put_replica; /* prepared once, used at every step of a start */
};

static inline void zl_store_finalizep(sqlite3_stmt **stmt)
{
        sqlite3_finalize(*stmt);
}
#define _cleanup_stmt_ _cleanup_(zl_store_finalizep)

/* "cannot WHAT in the agent's database: …" */
int zl_store_fail(struct zl_store *store, int rc, const char *what, struct zl_error *err);
int zl_store_prepare(struct zl_store *store, const char *sql, sqlite3_stmt **ret,
                     struct zl_error *err);
/* The text must stay until the statement has run; NULL binds NULL. */
void zl_store_bind_text(sqlite3_stmt *stmt, int at, const char *text);
/* Runs a statement that returns no rows and makes it ready for the next time. */
int zl_store_run(struct zl_store *store, sqlite3_stmt *stmt, const char *what,
                 struct zl_error *err);
/* A copy; `*ret` is NULL for NULL. 0 or -ENOMEM. */
int zl_store_take_text(sqlite3_stmt *stmt, int column, char **ret);
