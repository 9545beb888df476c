/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component for the tests that answers HTTP, by the canonical ABI of wasi:http: no C library and no generated code, `jco embed`
 * and `jco new` make a component of it. What it answers depends on the path:
 *
 *   /loop    computes for ever
 *   /trap    traps
 *   /ask/... asks the host behind it for "/asked" over HTTP: "status N" of its answer, or "no answer"
 *   others   "answer to PATH"
 */
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define TYPES "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"

typedef int handle;
struct text {
        int is_some;
        char *data;
        unsigned len;
};
struct made {
        unsigned char failed;
        handle value;
};

IMPORT(TYPES, "[method]incoming-request.path-with-query") void request_path(handle, struct text *);
IMPORT(TYPES, "[constructor]fields") handle fields_new(void);
IMPORT(TYPES, "[constructor]outgoing-response") handle response_new(handle fields);
IMPORT(TYPES, "[method]outgoing-response.body") void response_body(handle, struct made *);
IMPORT(TYPES, "[method]outgoing-body.write") void body_write(handle, struct made *);
IMPORT(TYPES, "[static]outgoing-body.finish") void body_finish(handle, int, handle, void *);
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(handle, int failed, handle response, int, long long, int, int, int, int);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle, const char *, unsigned, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(handle);

/* Asking others. An error code has 64-bit parts, so what may hold one is aligned to 8 bytes. */
struct asked {
        unsigned char failed;
        _Alignas(8) handle answer;
        long long rest[4];
};
struct answered {
        unsigned char is_some;
        _Alignas(8) unsigned char taken;
        struct asked asked;
};

IMPORT(TYPES, "[constructor]outgoing-request") handle request_new(handle fields);
IMPORT(TYPES, "[method]outgoing-request.set-scheme")
int request_set_scheme(handle, int is_some, int scheme, const char *, unsigned);
IMPORT(TYPES, "[method]outgoing-request.set-authority")
int request_set_authority(handle, int is_some, const char *, unsigned);
IMPORT(TYPES, "[method]outgoing-request.set-path-with-query")
int request_set_path(handle, int is_some, const char *, unsigned);
IMPORT("wasi:http/outgoing-handler@0.2.12", "handle")
void request_send(handle, int has_options, handle options, struct asked *);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") handle answer_subscribe(handle);
IMPORT("wasi:io/poll@0.2.12", "[method]pollable.block") void pollable_block(handle);
IMPORT(TYPES, "[method]future-incoming-response.get") void answer_get(handle, struct answered *);
IMPORT(TYPES, "[method]incoming-response.status") int answer_status(handle);

static char memory[4096];
static unsigned used;

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, unsigned old_size,
                                                                unsigned align, unsigned size)
{
        unsigned at = (used + align - 1) / align * align;

        if (at + size > sizeof(memory))
                __builtin_trap();
        used = at + size;
        return memory + at;
}

static int is(const struct text *path, const char *what)
{
        unsigned i = 0;

        while (i < path->len && what[i] && path->data[i] == what[i])
                i++;
        return i == path->len && !what[i];
}

/* The status of what `host` says to a request of ours, or 0. */
static int ask(const char *host, unsigned len)
{
        handle request = request_new(fields_new());
        struct asked asked;
        struct answered answered;

        if (request_set_scheme(request, 1, 0, 0, 0) ||
            request_set_authority(request, 1, host, len) ||
            request_set_path(request, 1, "/asked", 6))
                __builtin_trap();
        request_send(request, 0, 0, &asked);
        if (asked.failed)
                return 0;
        pollable_block(answer_subscribe(asked.answer));
        answer_get(asked.answer, &answered);
        if (!answered.is_some || answered.taken)
                __builtin_trap();
        return answered.asked.failed ? 0 : answer_status(answered.asked.answer);
}

__attribute__((export_name("wasi:http/incoming-handler@0.2.12#handle"))) void handle_request(
        handle request, handle outparam)
{
        struct text path = { 0 };
        struct made body, stream;
        handle response = response_new(fields_new());
        long long done[8]; /* what results are written to; they are not looked at */
        char text[] = "status 000\n";
        int status = -1;

        request_path(request, &path);
        if (is(&path, "/trap"))
                __builtin_trap();
        for (volatile int i = 0; is(&path, "/loop"); i = 1)
                ;
        if (path.len > 5 && is(&(struct text){ 1, path.data, 5 }, "/ask/"))
                status = ask(path.data + 5, path.len - 5);
        response_body(response, &body);
        outparam_set(outparam, 0, response, 0, 0, 0, 0, 0, 0);
        body_write(body.value, &stream);
        if (status > 0) {
                for (int i = 9; i > 6; i--, status /= 10)
                        text[i] = (char)('0' + status % 10);
                stream_write(stream.value, text, sizeof(text) - 1, done);
        } else if (status == 0) {
                stream_write(stream.value, "no answer\n", 10, done);
        } else {
                stream_write(stream.value, "answer to ", 10, done);
                stream_write(stream.value, path.data, path.len, done);
                stream_write(stream.value, "\n", 1, done);
        }
        stream_drop(stream.value);
        body_finish(body.value, 0, 0, done);
}
