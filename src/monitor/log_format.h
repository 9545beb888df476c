/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the log of a workload stands on disk.
 *
 * STATE_DIR/log/ holds files named by a number of ten digits, "0000000001.zlog", ascending. Only the highest one grows. A
 * file never changes its name: rotation begins the next number and removes the lowest ones beyond the wanted count,
 * so a reader that holds a file open can finish it and go to the next number, and cannot mistake one for another.
 *
 * A file is a head and then records. All integers are in the byte order of the machine (logs stay on their machine;
 * the magic number tells a foreign order). A record is
 *
 *      struct zl_log_record        24 bytes
 *      payload                     `len` bytes, any bytes
 *      uint32_t total              24 + len + 4: the way back, for reading from the end
 *
 * Output records hold what one read() of the stream gave, with the time of that read: usually one line, under load up
 * to 64 KiB of lines. Lines are split by the reader. So the cost of logging depends on the number of reads, not of lines.
 *
 * Resynchronisation: `check` hashes the other fields of the record's head with the file's own random key. After a torn
 * write (power loss) a reader looks for the next place where magic and check fit. The workload cannot forge such a
 * place in its output, since it does not know the key.
 */
#pragma once

#include <stdint.h>

#define ZL_LOG_DIR_NAME "log"
#define ZL_LOG_FILE_FORMAT "%010u.zlog"

enum {
        ZL_LOG_NAME_SIZE = 32,
        ZL_LOG_FILE_MAGIC = 0x315a4c4c,   /* "LLZ1" */
        ZL_LOG_RECORD_MAGIC = 0x7a4c5231, /* "1RLz" */
        ZL_LOG_PAYLOAD_MAX = 64 * 1024,
        ZL_LOG_OVERHEAD = 28, /* bytes around a payload */
};

enum zl_log_record_type {
        ZL_LOG_STDOUT = 1, /* the numbers of the streams */
        ZL_LOG_STDERR = 2,
        ZL_LOG_START = 3,  /* payload: uint32_t generation */
        ZL_LOG_END = 4,    /* payload: uint32_t generation; nothing of this generation follows */
        ZL_LOG_NOTICE = 5, /* payload: text about lost output */
};

enum zl_log_record_flags {
        ZL_LOG_PARTIAL = 1 << 0, /* does not end with a newline */
        ZL_LOG_CONTINUES = 1
                           << 1, /* begins within a line: the stream's record before was PARTIAL */
};

struct zl_log_file_head {
        uint32_t magic;
        uint32_t number; /* that of its name */
        int64_t time;    /* when it was begun */
        uint64_t key;    /* random */
};

struct zl_log_record {
        uint32_t magic;
        uint32_t len; /* of the payload, at most ZL_LOG_PAYLOAD_MAX */
        int64_t time; /* nsec since 1970 UTC */
        uint8_t type;
        uint8_t flags;
        uint16_t zero;
        uint32_t check;
};

_Static_assert(sizeof(struct zl_log_file_head) == 24, "format");
_Static_assert(sizeof(struct zl_log_record) == 24, "format");

/* Mixes everything before `check` with the key of the file. Not cryptographic: the key is a secret of 64 bits that the
 * workload has no oracle for. */
static inline uint32_t zl_log_record_check(const struct zl_log_record *r, uint64_t key)
{
        uint64_t h = key ^ 0x9e3779b97f4a7c15ULL;

        h = (h ^ ((uint64_t)r->magic << 32 | r->len)) * 0xff51afd7ed558ccdULL;
        h ^= h >> 32;
        h = (h ^ (uint64_t)r->time) * 0xc4ceb9fe1a85ec53ULL;
        h ^= h >> 29;
        h = (h ^ ((uint64_t)r->type << 8 | r->flags | (uint64_t)r->zero << 16)) *
            0xff51afd7ed558ccdULL;
        h ^= h >> 32;
        h *= key | 1;
        return (uint32_t)(h >> 32);
}
