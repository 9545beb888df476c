/* SPDX-License-Identifier: Apache-2.0 */
/* The executor of jobs and cron jobs, on a virtual clock with a mock runtime and a store that outlives the agent. */
#include <stdio.h>

#include "agent_sim.h"

#include "agent/job.h"

/* ---- a store of executions --------------------------------------------------------------------------------- */

struct memory {
        struct zl_execution_record records[64];
        char reasons[64][128], services[64][32];
        size_t n;
        struct zl_schedule schedule;
        bool has_schedule;
};
static struct memory memory;

static void save_execution(void *data, const struct zl_execution_record *record)
{
        size_t i = 0;

        (void)data;
        while (i < memory.n && memory.records[i].id != record->id)
                i++;
        assert_true(i < 64);
        memory.n = ZL_MAX(memory.n, i + 1);
        memory.records[i] = *record;
        snprintf(memory.reasons[i], sizeof(memory.reasons[i]), "%s", record->reason ?: "");
        snprintf(memory.services[i], sizeof(memory.services[i]), "%s", record->service);
        memory.records[i].reason = memory.reasons[i];
        memory.records[i].service = memory.services[i];
}

static void load_executions(void *data, const char *deployment, const char *service,
                            int (*each)(const struct zl_execution_record *record, void *to),
                            void *to)
{
        (void)data;
        (void)deployment;
        for (size_t i = 0; i < memory.n; i++)
                if (!service || zl_streq(memory.services[i], service))
                        assert_int_equal(each(&memory.records[i], to), 0);
}

static void save_schedule(void *data, const char *deployment, const char *service,
                          const struct zl_schedule *schedule)
{
        (void)data;
        (void)deployment;
        (void)service;
        memory.schedule = *schedule;
        memory.has_schedule = true;
}

static void load_schedule(void *data, const char *deployment, const char *service,
                          struct zl_schedule *schedule)
{
        (void)data;
        (void)deployment;
        (void)service;
        if (memory.has_schedule)
                *schedule = memory.schedule;
}

static void add_memory(struct zl_host *host)
{
        host->save_execution = save_execution;
        host->load_executions = load_executions;
        host->save_schedule = save_schedule;
        host->load_schedule = load_schedule;
}

static int setup(void **state)
{
        struct sim *sim;

        memory = (struct memory){ 0 };
        sim_host_hook = add_memory;
        sim = sim_new();
        *state = sim;
        return 0;
}

static int teardown(void **state)
{
        sim_free(*state);
        return 0;
}

/* The agent dies and another one comes. */
static void restart(struct sim *sim, const char *yaml)
{
        sim_kill_agent(sim);
        sim_up(sim, yaml, true);
}

/* "1:succeeded 2:queued" … in order of their beginning. */
static void assert_records(const char *expected)
{
        char got[1024] = "";

        for (size_t i = 0; i < memory.n; i++)
                snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u:%s", i ? " " : "",
                         memory.records[i].number,
                         zl_execution_state_name(memory.records[i].state));
        assert_string_equal(got, expected);
}

static void trigger(struct sim *sim, const char *expected)
{
        struct zl_error err = ZL_ERROR_INIT;
        char name[ZL_IDENT_NAME_MAX];

        if (zl_agent_job_run(sim->agent, "app", "job", name, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        assert_string_equal(name, expected);
        sim_settle(sim);
}

static void end(struct sim *sim, const char *name, int code)
{
        assert_int_equal(zl_mock_exit(sim->rt, name, code, 0, false, NULL), 0);
        sim_settle(sim);
}

#define HEAD "version: v1\ndeployment: app\nservices:\n"
#define SERVICE "  keeper: {image: {name: x}}\n"
#define JOB "  job: {image: {name: x}, rtype: job, scale: {mode: manual}, labels: {%s}}\n"

static char *job_spec(const char *labels)
{
        static char text[1024];

        snprintf(text, sizeof(text), HEAD SERVICE JOB, labels);
        return text;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------ */

static void test_run_on_trigger(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, job_spec(""), false);
        assert_records("1:running"); /* that of `up` itself */
        assert_int_equal(memory.records[0].trigger, ZL_TRIGGER_UP);
        end(sim, "app.job.1", 0);
        assert_records("1:succeeded");
        trigger(sim, "app.job.2");
        assert_int_equal(sim_state(sim, "app.job.2"), ZL_STATE_RUNNING);
        assert_records("1:succeeded 2:running");
        end(sim, "app.job.2", 42);
        assert_records("1:succeeded 2:failed");
        assert_int_equal(memory.records[1].exit_code, 42);
        assert_int_equal(memory.records[1].trigger, ZL_TRIGGER_MANUAL);
        assert_true(memory.records[1].finished_at >= memory.records[1].started_at);
        /* its container stays, for its log, and the deployment is none the worse */
        assert_true(sim_exists(sim, "app.job.2"));
        assert_int_equal(zl_agent_phase(sim->agent, "app"), ZL_DEPLOYMENT_STARTED);
        assert_int_equal(sim_state(sim, "app.keeper.1"), ZL_STATE_RUNNING);
}

static void test_concurrency_and_queue(void **state)
{
        struct sim *sim = *state;
        char name[ZL_IDENT_NAME_MAX];
        struct zl_error err = ZL_ERROR_INIT;

        sim_up(sim, job_spec("zlayer.job.concurrency: '2', zlayer.job.queue: '1'"), false);
        end(sim, "app.job.1", 0);
        trigger(sim, "app.job.2");
        trigger(sim, "app.job.3");
        trigger(sim, "app.job.4");
        assert_records("1:succeeded 2:running 3:running 4:queued");
        assert_false(sim_exists(sim, "app.job.4"));
        assert_int_equal(zl_agent_job_run(sim->agent, "app", "job", name, &err), -EBUSY);
        assert_non_null(strstr(zl_error_message(&err), "2 executions run and 1 wait"));
        zl_error_done(&err);
        end(sim, "app.job.3", 0);
        assert_records("1:succeeded 2:running 3:succeeded 4:running");
}

static void test_retries_are_one_execution(void **state)
{
        struct sim *sim = *state;

        sim_up(sim,
               HEAD SERVICE "  job: {image: {name: x}, rtype: job, scale: {mode: manual},"
                            " restart_policy: {kind: on_failure, max_attempts: 2}}\n",
               false);
        end(sim, "app.job.1", 0);
        trigger(sim, "app.job.2");
        end(sim, "app.job.2", 1);
        assert_records("1:succeeded 2:running");
        sim_advance(sim, ZL_NSEC_PER_SEC);
        end(sim, "app.job.2", 1);
        sim_advance(sim, ZL_NSEC_PER_SEC);
        end(sim, "app.job.2", 3);
        assert_records("1:succeeded 2:failed");
        assert_int_equal(memory.records[1].exit_code, 3);
        assert_int_equal(memory.records[1].retries, 2);
}

static void test_timeout(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, job_spec("zlayer.job.timeout: 30s"), false);
        end(sim, "app.job.1", 0);
        trigger(sim, "app.job.2");
        sim_advance(sim, 29 * ZL_NSEC_PER_SEC);
        assert_records("1:succeeded 2:running");
        sim_advance(sim, 2 * ZL_NSEC_PER_SEC);
        assert_records("1:succeeded 2:timed_out");
        assert_int_equal(sim_state(sim, "app.job.2"), ZL_STATE_EXITED);
        assert_int_equal(sim_count(sim, "timed_out app.job.2"), 1);
}

static void test_cancel(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, job_spec(""), false);
        end(sim, "app.job.1", 0);
        trigger(sim, "app.job.2");
        trigger(sim, "app.job.3");
        assert_int_equal(zl_agent_job_cancel(sim->agent, "app.job.3", NULL), 0);
        assert_records("1:succeeded 2:running 3:cancelled");
        assert_int_equal(zl_agent_job_cancel(sim->agent, "app.job.2", NULL), 0);
        sim_settle(sim);
        assert_records("1:succeeded 2:cancelled 3:cancelled");
        assert_int_equal(zl_agent_job_cancel(sim->agent, "app.job.2", NULL), -EINVAL);
        assert_int_equal(zl_agent_job_cancel(sim->agent, "app.job.9", NULL), -ENOENT);
        assert_int_equal(zl_agent_job_cancel(sim->agent, "app", NULL), -EINVAL);
}

static void test_history(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, job_spec("zlayer.job.history: '2'"), false);
        end(sim, "app.job.1", 0);
        for (int i = 2; i <= 5; i++) {
                char name[32];

                snprintf(name, sizeof(name), "app.job.%d", i);
                trigger(sim, name);
                end(sim, name, 0);
        }
        sim_settle(sim);
        assert_false(sim_exists(sim, "app.job.2"));
        assert_false(sim_exists(sim, "app.job.3"));
        assert_true(sim_exists(sim, "app.job.4"));
        assert_true(sim_exists(sim, "app.job.5"));
        assert_records("1:succeeded 2:succeeded 3:succeeded 4:succeeded 5:succeeded");
}

static void test_wrong_names(void **state)
{
        struct sim *sim = *state;
        char name[ZL_IDENT_NAME_MAX];

        sim_up(sim, job_spec(""), false);
        assert_int_equal(zl_agent_job_run(sim->agent, "app", "keeper", name, NULL), -ENOENT);
        assert_int_equal(zl_agent_job_run(sim->agent, "app", "none", name, NULL), -ENOENT);
        assert_int_equal(zl_agent_job_run(sim->agent, "none", "job", name, NULL), -ENOENT);
        assert_int_equal(zl_agent_cron_enable(sim->agent, "app", "job", false, NULL), -EINVAL);
}

static void test_a_finished_deployment_goes_on(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, HEAD "  job: {image: {name: x}, rtype: job, scale: {mode: manual}}\n", false);
        end(sim, "app.job.1", 0);
        assert_int_equal(zl_agent_phase(sim->agent, "app"), ZL_DEPLOYMENT_FINISHED);
        assert_false(sim->saved_active);
        trigger(sim, "app.job.2");
        assert_true(sim->saved_active);
        assert_int_equal(zl_agent_phase(sim->agent, "app"), ZL_DEPLOYMENT_STARTED);
        end(sim, "app.job.2", 0);
        assert_int_equal(zl_agent_phase(sim->agent, "app"), ZL_DEPLOYMENT_FINISHED);
}

/* Whether its container is still there or was removed: once is once. */
static void test_a_revived_deployment_runs_no_job_again(void **state)
{
        struct sim *sim = *state;
        const char *text = HEAD "  keeper: {image: {name: x}, restart_policy: {kind: always}}\n"
                                "  job: {image: {name: x}, rtype: job, scale: {mode: manual}}\n";

        sim_up(sim, text, ZL_BEGIN_ANEW);
        end(sim, "app.job.1", 0);
        for (unsigned i = 0; i < 3; i++) {
                if (i == 2)
                        assert_int_equal(zl_runtime_remove(sim->rt, "app.job.1", false, NULL), 0);
                assert_int_equal(zl_runtime_stop(sim->rt, "app.keeper.1", 0, NULL), 0);
                sim_settle(sim);
                assert_int_equal(sim->saved_care, ZL_CARE_NEXT_START);
                sim_kill_agent(sim);
                sim_up(sim, text, ZL_BEGIN_REVIVE);
                assert_int_equal(sim_state(sim, "app.keeper.1"), ZL_STATE_RUNNING);
                assert_records("1:succeeded");
        }
        assert_int_equal(sim_count(sim, "started app.job.1"), 1);
        assert_int_equal(zl_agent_phase(sim->agent, "app"), ZL_DEPLOYMENT_STARTED);
}

static void test_down(void **state)
{
        struct sim *sim = *state;
        struct zl_agent_stop_options options = { .remove = true };

        sim_up(sim, job_spec(""), false);
        end(sim, "app.job.1", 0);
        trigger(sim, "app.job.2");
        end(sim, "app.job.2", 0);
        trigger(sim, "app.job.3");
        trigger(sim, "app.job.4");
        assert_int_equal(zl_agent_stop(sim->agent, "app", NULL, &options, NULL), 0);
        sim_settle(sim);
        assert_records("1:succeeded 2:succeeded 3:cancelled 4:cancelled");
        assert_false(sim_exists(sim, "app.job.2"));
        assert_false(sim_exists(sim, "app.job.3"));
        assert_int_equal(zl_agent_phase(sim->agent, "app"), ZL_DEPLOYMENT_STOPPED);
}

/* ---- the agent dies ---------------------------------------------------------------------------------------------- */

static void test_death_of_the_agent(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, job_spec(""), false);
        end(sim, "app.job.1", 0);
        trigger(sim, "app.job.2");
        trigger(sim, "app.job.3");
        restart(sim, job_spec(""));
        assert_records("1:succeeded 2:running 3:queued");
        assert_int_equal(sim_state(sim, "app.job.2"), ZL_STATE_RUNNING);
        /* ends while nobody is there */
        zl_mock_exit(sim->rt, "app.job.2", 7, 0, false, NULL);
        restart(sim, job_spec(""));
        assert_records("1:succeeded 2:failed 3:running");
        assert_int_equal(memory.records[1].exit_code, 7);
        assert_int_equal(sim_state(sim, "app.job.3"), ZL_STATE_RUNNING);
        /* its container is removed while nobody is there: not run again */
        zl_mock_exit(sim->rt, "app.job.3", 0, 0, false, NULL);
        zl_runtime_remove(sim->rt, "app.job.3", true, NULL);
        restart(sim, job_spec(""));
        assert_records("1:succeeded 2:failed 3:failed");
        assert_false(sim_exists(sim, "app.job.3"));
        trigger(sim, "app.job.4");
        /* history is still history */
        assert_true(sim_exists(sim, "app.job.2"));
}

static void test_death_during_the_run_of_up(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, job_spec(""), false);
        restart(sim, job_spec(""));
        assert_records("1:running");
        zl_mock_exit(sim->rt, "app.job.1", 5, 0, false, NULL);
        restart(sim, job_spec(""));
        assert_records("1:failed");
        assert_int_equal(memory.records[0].exit_code, 5);
        /* the next agent knows that, and tells it to nobody a second time */
        assert_int_equal(sim_count(sim, "exited app.job.1"), 1);
        restart(sim, job_spec(""));
        assert_records("1:failed");
        assert_int_equal(sim_count(sim, "exited app.job.1"), 1);
        assert_int_equal(zl_agent_exit_code(sim->agent, "app"), 5);
}

/* The wish that took the job out of the spec was stored, the end of its executions was not. */
static void test_death_between_a_change_and_the_ends(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, job_spec(""), false);
        end(sim, "app.job.1", 0);
        trigger(sim, "app.job.2");
        trigger(sim, "app.job.3");
        restart(sim, HEAD SERVICE);
        assert_records("1:succeeded 2:cancelled 3:cancelled");
        assert_non_null(strstr(memory.reasons[2], "no part of the deployment"));
        assert_false(sim_exists(sim, "app.job.2"));
        restart(sim, job_spec(""));
        assert_records("1:succeeded 2:cancelled 3:cancelled 1:running");
}

/* `down` by an agent that finds all this only. */
static void test_down_after_the_death(void **state)
{
        struct sim *sim = *state;
        struct zl_agent_stop_options options = { .remove = true };

        sim_up(sim, job_spec(""), false);
        assert_records("1:running"); /* of `up` itself */
        trigger(sim, "app.job.2");
        sim_kill_agent(sim);
        assert_int_equal(zl_agent_stop(sim->agent, "app", sim_spec(job_spec("")), &options, NULL),
                         0);
        sim_settle(sim);
        assert_int_equal(zl_agent_phase(sim->agent, "app"), ZL_DEPLOYMENT_STOPPED);
        assert_records("1:cancelled 2:cancelled");
        assert_non_null(strstr(memory.reasons[0], "the deployment was stopped"));
        assert_false(sim_exists(sim, "app.job.1"));
        assert_false(sim_exists(sim, "app.job.2"));
}

/* ---- cron ------------------------------------------------------------------------------------------------------------- */

static char *cron_spec(const char *labels)
{
        static char text[1024];

        snprintf(text, sizeof(text),
                 HEAD
                 "  job: {image: {name: x}, rtype: cron, schedule: '0 * * * * *', labels: {%s}}\n",
                 labels);
        return text;
}

static void test_schedule(void **state)
{
        struct sim *sim = *state; /* the clock shows 1000 s, the next full minute is 1020 */

        sim_up(sim, cron_spec(""), false);
        assert_int_equal(zl_agent_phase(sim->agent, "app"), ZL_DEPLOYMENT_STARTED);
        sim_advance(sim, 19 * ZL_NSEC_PER_SEC);
        assert_records("");
        sim_advance(sim, 2 * ZL_NSEC_PER_SEC);
        assert_records("1:running");
        assert_int_equal(memory.records[0].trigger, ZL_TRIGGER_SCHEDULE);
        assert_int_equal(memory.records[0].scheduled_at, 1020 * ZL_NSEC_PER_SEC);
        end(sim, "app.job.1", 0);
        sim_advance(sim, 60 * ZL_NSEC_PER_SEC);
        assert_records("1:succeeded 2:running");
        trigger(sim, "app.job.3");
        assert_records("1:succeeded 2:running 3:queued");
        end(sim, "app.job.2", 0);
        assert_records("1:succeeded 2:succeeded 3:running");
        assert_int_equal(memory.records[2].trigger, ZL_TRIGGER_MANUAL);
}

/* A schedule has no replicas, whatever its (unused) scale says: a changed or repeated wish begins nothing. */
static void test_an_update_begins_no_cron_job(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, cron_spec(""), false);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(
                        zl_agent_update(sim->agent,
                                        sim_spec(cron_spec(i ? "" : "zlayer.job.history: '3'")),
                                        NULL),
                        0);
                sim_settle(sim);
        }
        assert_records("");
        assert_false(sim_exists(sim, "app.job.1"));
}

/* What is overdue waits until it is known what there is; until then no timer runs, since it could do nothing. */
static void test_no_timer_before_the_list(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, cron_spec(""), false);
        sim->now += 400 * ZL_NSEC_PER_SEC;
        sim_kill_agent(sim);
        assert_int_equal(zl_agent_up(sim->agent, sim_spec(cron_spec("")), true, NULL), 0);
        assert_int_equal(sim->deadline, INT64_MAX);
        sim_settle(sim);
        assert_records("1:running");
}

static void test_overlap_forbid(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, cron_spec(""), false);
        sim_advance(sim, 85 * ZL_NSEC_PER_SEC);
        assert_records("1:running");
        assert_int_equal(sim_count(sim, "skipped app.job"), 1);
}

static void test_overlap_allow(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, cron_spec("zlayer.cron.overlap: allow"), false);
        sim_advance(sim, 145 * ZL_NSEC_PER_SEC);
        assert_records("1:running 2:running 3:running");
}

static void test_overlap_replace(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, cron_spec("zlayer.cron.overlap: replace"), false);
        sim_advance(sim, 85 * ZL_NSEC_PER_SEC);
        sim_settle(sim);
        assert_records("1:cancelled 2:running");
}

static void test_missed(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, cron_spec("zlayer.cron.missed: latest"), false);
        sim->now += 400 * ZL_NSEC_PER_SEC; /* to 1400: six were due, the last at 1380 */
        restart(sim, cron_spec("zlayer.cron.missed: latest"));
        assert_records("1:running");
        assert_int_equal(memory.records[0].trigger, ZL_TRIGGER_CATCH_UP);
        assert_int_equal(memory.records[0].scheduled_at, 1380 * ZL_NSEC_PER_SEC);
        end(sim, "app.job.1", 0);
        sim->now += 390 * ZL_NSEC_PER_SEC;
        restart(sim, cron_spec("zlayer.cron.missed: none"));
        assert_records("1:succeeded");
        /* the same is not caught up twice */
        restart(sim, cron_spec("zlayer.cron.missed: latest"));
        assert_records("1:succeeded");
}

static void test_enable(void **state)
{
        struct sim *sim = *state;

        sim_up(sim, cron_spec(""), false);
        assert_int_equal(zl_agent_cron_enable(sim->agent, "app", "job", false, NULL), 0);
        sim_advance(sim, 200 * ZL_NSEC_PER_SEC);
        assert_records("");
        restart(sim, cron_spec(""));
        sim_advance(sim, 100 * ZL_NSEC_PER_SEC);
        assert_records("");
        assert_int_equal(zl_agent_cron_enable(sim->agent, "app", "job", true, NULL), 0);
        sim_settle(sim);
        assert_records(""); /* what passed meanwhile was not missed */
        sim_advance(sim, 60 * ZL_NSEC_PER_SEC);
        assert_records("1:running");
}

static void test_the_clock_is_set(void **state)
{
        struct sim *sim = *state; /* 1000 s */

        sim_up(sim, cron_spec(""), false);
        sim->wall_ahead = 21 * ZL_NSEC_PER_SEC;
        zl_agent_on_clock(sim->agent);
        sim_settle(sim);
        assert_records("1:running");
        end(sim, "app.job.1", 0);
        /* set back by an hour: nothing is run twice, and nothing until the clock has caught up */
        sim->wall_ahead -= 3600 * ZL_NSEC_PER_SEC;
        zl_agent_on_clock(sim->agent);
        sim_advance(sim, 3000 * ZL_NSEC_PER_SEC);
        assert_records("1:succeeded");
        sim_advance(sim, 700 * ZL_NSEC_PER_SEC);
        assert_int_equal(memory.n, 2);
}

static void test_bad_settings_are_refused(void **state)
{
        struct sim *sim = *state;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_deployment_spec *spec = sim_spec(cron_spec("zlayer.cron.timezone: Mars"));

        assert_int_equal(zl_agent_up(sim->agent, spec, false, &err), -ENOENT);
        assert_non_null(strstr(zl_error_message(&err), "service job: labels.zlayer.cron.timezone"));
        zl_error_done(&err);
        zl_spec_free(spec);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_run_on_trigger),
                T(test_concurrency_and_queue),
                T(test_retries_are_one_execution),
                T(test_timeout),
                T(test_cancel),
                T(test_history),
                T(test_wrong_names),
                T(test_a_finished_deployment_goes_on),
                T(test_a_revived_deployment_runs_no_job_again),
                T(test_down),
                T(test_death_of_the_agent),
                T(test_death_during_the_run_of_up),
                T(test_death_between_a_change_and_the_ends),
                T(test_down_after_the_death),
                T(test_schedule),
                T(test_an_update_begins_no_cron_job),
                T(test_no_timer_before_the_list),
                T(test_overlap_forbid),
                T(test_overlap_allow),
                T(test_overlap_replace),
                T(test_missed),
                T(test_enable),
                T(test_the_clock_is_set),
                T(test_bad_settings_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
