/* Histograms and the registry of metrics. */
#include "cmocka_all.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/metrics.h"
#include "base/random.h"

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_are_within_one_per_cent_of_the_sorted_list(void **state)
{
    enum { COUNT = 5000 };
    static int64_t values[COUNT];
    static struct weir_histogram h;
    const double percents[] = {0, 1, 25, 50, 90, 99, 99.9, 100};
    struct weir_random random = {31337};
    int64_t sum = 0;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)random.state);
    weir_histogram_init(&h);
    for (int i = 0; i < COUNT; i++) {
        values[i] = (int64_t)exp2(weir_random_double(&random) * 40);
        sum += values[i];
        weir_histogram_record(&h, values[i]);
    }
    qsort(values, COUNT, sizeof values[0], compare);
    assert_int_equal(weir_histogram_count(&h), COUNT);
    assert_int_equal(weir_histogram_sum(&h), sum);
    assert_int_equal(weir_histogram_min(&h), values[0]);
    assert_int_equal(weir_histogram_max(&h), values[COUNT - 1]);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        double rank = ceil(percents[i] * COUNT / 100);
        int64_t exact = values[rank < 1 ? 0 : (int)rank - 1];
        double got = (double)weir_histogram_percentile(&h, percents[i]);
        assert_true(fabs(got - (double)exact) <= 0.008 * (double)exact + 0.5);
    }
}

static void small_and_extreme_values_are_kept(void **state)
{
    static struct weir_histogram h, other;

    (void)state;
    weir_histogram_init(&h);
    weir_histogram_init(&other);
    assert_int_equal(weir_histogram_percentile(&h, 50), 0);
    assert_int_equal(weir_histogram_min(&h), 0);
    for (int64_t v = 0; v < 64; v++)
        weir_histogram_record(&h, v);
    assert_int_equal(weir_histogram_percentile(&h, 50), 31);
    assert_int_equal(weir_histogram_count_to(&h, 9), 10);
    weir_histogram_record(&other, INT64_MAX);
    weir_histogram_record(&other, INT64_MIN);
    weir_histogram_record_n(&other, INT64_MAX, 5);
    assert_int_equal(weir_histogram_max(&other), (INT64_C(1) << 62) - 1);
    assert_int_equal(weir_histogram_min(&other), 0);
    assert_true(weir_histogram_sum(&other) == INT64_MAX);
    weir_histogram_merge(&h, &other);
    assert_int_equal(weir_histogram_count(&h), 71);
    assert_int_equal(weir_histogram_max(&h), (INT64_C(1) << 62) - 1);
    assert_int_equal(weir_histogram_count_to(&h, INT64_MAX), 71);
}

static double answer(void *opaque)
{
    return *(double *)opaque;
}

static struct weir_metrics *make(uint32_t series_max)
{
    struct weir_metrics *metrics = NULL;
    assert_int_equal(weir_metrics_new(series_max, NULL, &metrics), WEIR_OK);
    return metrics;
}

static void series_are_written_as_prometheus_text(void **state)
{
    struct weir_metrics *m = make(10);
    const struct weir_label topic[] = {{"topic", "a\"b\\c\nd"}, {"partition", "0"}};
    const struct weir_label other[] = {{"topic", "x"}, {"partition", "1"}};
    const struct weir_metric records = {"weir_records_total", "Records\nread.", topic, 2};
    const struct weir_metric records_other = {"weir_records_total", "", other, 2};
    const struct weir_metric load = {"weir_load", "Load.", NULL, 0};
    const struct weir_metric lag = {"weir_lag", "Lag.", NULL, 0};
    struct weir_counter *counter, *again;
    struct weir_gauge *gauge;
    struct weir_buffer b;
    double value = 1.5;

    (void)state;
    weir_buffer_init(&b, 100000);
    assert_int_equal(weir_metrics_counter(m, &records, &counter, NULL), WEIR_OK);
    assert_int_equal(weir_metrics_gauge(m, &load, &gauge, NULL), WEIR_OK);
    assert_int_equal(weir_metrics_counter(m, &records, &again, NULL), WEIR_OK);
    assert_ptr_equal(counter, again);
    assert_int_equal(weir_metrics_counter(m, &records_other, &again, NULL), WEIR_OK);
    assert_int_equal(weir_metrics_callback(m, &lag, answer, &value, NULL), WEIR_OK);
    weir_counter_add(counter, 41);
    weir_counter_add(counter, 1);
    weir_gauge_set(gauge, (double)INFINITY);
    assert_int_equal(weir_metrics_write(m, &b), WEIR_OK);
    assert_string_equal(weir_buffer_text(&b),
                        "# HELP weir_records_total Records\\nread.\n"
                        "# TYPE weir_records_total counter\n"
                        "weir_records_total{topic=\"a\\\"b\\\\c\\nd\",partition=\"0\"} 42\n"
                        "weir_records_total{topic=\"x\",partition=\"1\"} 0\n"
                        "# HELP weir_load Load.\n"
                        "# TYPE weir_load gauge\n"
                        "weir_load +Inf\n"
                        "# HELP weir_lag Lag.\n"
                        "# TYPE weir_lag gauge\n"
                        "weir_lag 1.5\n");
    assert_int_equal(weir_metrics_remove(m, &records), WEIR_OK);
    assert_int_equal(weir_metrics_remove(m, &records), WEIR_NOT_FOUND);
    assert_int_equal(weir_metrics_remove_callbacks(m, &value), 1);
    weir_gauge_set(gauge, 1);
    weir_gauge_add(gauge, -0.5);
    weir_buffer_clear(&b);
    assert_int_equal(weir_metrics_write(m, &b), WEIR_OK);
    assert_null(strstr(weir_buffer_text(&b), "} 42"));
    assert_non_null(strstr(weir_buffer_text(&b), "weir_load 0.5\n"));
    assert_null(strstr(weir_buffer_text(&b), "weir_lag"));
    weir_buffer_release(&b);
    weir_metrics_free(m);
}

static void histograms_are_written_with_cumulative_buckets(void **state)
{
    struct weir_metrics *m = make(10);
    const struct weir_label model[] = {{"model", "m"}};
    const struct weir_metric metric = {"weir_duration_seconds", "Time.", model, 1};
    const double edges[] = {1e-6, 1e-3, 1};
    struct weir_histogram *h;
    struct weir_buffer b;

    (void)state;
    weir_buffer_init(&b, 100000);
    assert_int_equal(weir_metrics_histogram(m, &metric, 1e-9, edges, 3, &h, NULL), WEIR_OK);
    weir_histogram_record(h, 500);
    weir_histogram_record(h, 500000);
    weir_histogram_record(h, 2000000000);
    assert_int_equal(weir_metrics_write(m, &b), WEIR_OK);
    assert_string_equal(weir_buffer_text(&b),
                        "# HELP weir_duration_seconds Time.\n"
                        "# TYPE weir_duration_seconds histogram\n"
                        "weir_duration_seconds_bucket{model=\"m\",le=\"1e-06\"} 1\n"
                        "weir_duration_seconds_bucket{model=\"m\",le=\"0.001\"} 2\n"
                        "weir_duration_seconds_bucket{model=\"m\",le=\"1\"} 2\n"
                        "weir_duration_seconds_bucket{model=\"m\",le=\"+Inf\"} 3\n"
                        "weir_duration_seconds_sum{model=\"m\"} 2.0005005\n"
                        "weir_duration_seconds_count{model=\"m\"} 3\n");
    weir_buffer_release(&b);
    weir_metrics_free(m);
}

static void bad_names_kinds_and_numbers_are_refused(void **state)
{
    struct weir_metrics *m = make(2);
    const struct weir_label bad[] = {{"0x", ""}}, le[] = {{"le", ""}}, inner[] = {{"__x", ""}};
    const struct weir_metric metrics[] = {
        {"records_total", "", NULL, 0},    {"weir_Records_total", "", NULL, 0},
        {"weir_records", "", NULL, 0},     {"weir_records_total", "", bad, 1},
        {"weir_records_total", "", le, 1}, {"weir_records_total", "", inner, 1}};
    const struct weir_metric good = {"weir_a_total", "", NULL, 0}, gauge = {"weir_a", "", NULL, 0};
    const struct weir_metric third = {"weir_b_total", "", NULL, 0};
    const double falling[] = {2, 1};
    struct weir_counter *counter;
    struct weir_gauge *out;
    struct weir_histogram *histogram;

    (void)state;
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        assert_int_equal(weir_metrics_counter(m, &metrics[i], &counter, NULL), WEIR_INVALID);
    assert_int_equal(weir_metrics_gauge(m, &good, &out, NULL), WEIR_INVALID);
    assert_int_equal(weir_metrics_histogram(m, &gauge, 1, falling, 2, &histogram, NULL),
                     WEIR_INVALID);
    assert_int_equal(weir_metrics_counter(m, &good, &counter, NULL), WEIR_OK);
    assert_int_equal(weir_metrics_gauge(m, &gauge, &out, NULL), WEIR_OK);
    assert_int_equal(weir_metrics_histogram(m, &gauge, 1, NULL, 0, &histogram, NULL), WEIR_INVALID);
    assert_int_equal(weir_metrics_counter(m, &third, &counter, NULL), WEIR_LIMIT);
    weir_metrics_free(m);
}

static void *count_up(void *opaque)
{
    for (int i = 0; i < 10000; i++)
        weir_counter_add(opaque, 1);
    return NULL;
}

static void counters_of_many_threads_lose_nothing_while_they_are_written(void **state)
{
    struct weir_metrics *m = make(10);
    const struct weir_metric metric = {"weir_x_total", "", NULL, 0};
    struct weir_counter *counter;
    pthread_t threads[3];
    struct weir_buffer b;

    (void)state;
    weir_buffer_init(&b, 1 << 20);
    assert_int_equal(weir_metrics_counter(m, &metric, &counter, NULL), WEIR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, counter), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(weir_metrics_write(m, &b), WEIR_OK);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(weir_counter_value(counter), 30000);
    weir_buffer_release(&b);
    weir_metrics_free(m);
}

static void every_failing_allocation_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        const struct weir_label label[] = {{"a", "b"}};
        const struct weir_metric metric = {"weir_x_total", "X.", label, 1};
        const struct weir_metric timing = {"weir_x_seconds", "X.", label, 1};
        struct weir_metrics *m = NULL;
        struct weir_counter *counter;
        struct weir_histogram *histogram;
        struct weir_alloc_counts counts;
        enum weir_err err;

        weir_alloc_watch_start(n);
        err = weir_metrics_new(10, NULL, &m);
        if (err == WEIR_OK)
            err = weir_metrics_counter(m, &metric, &counter, NULL);
        if (err == WEIR_OK)
            err = weir_metrics_histogram(m, &timing, 1e-9, NULL, 0, &histogram, NULL);
        weir_metrics_free(m);
        counts = weir_alloc_watch_stop();
        assert_int_equal(err, counts.failed > 0 ? WEIR_NOMEM : WEIR_OK);
        if (counts.failed == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_within_one_per_cent_of_the_sorted_list),
        cmocka_unit_test(small_and_extreme_values_are_kept),
        cmocka_unit_test(series_are_written_as_prometheus_text),
        cmocka_unit_test(histograms_are_written_with_cumulative_buckets),
        cmocka_unit_test(bad_names_kinds_and_numbers_are_refused),
        cmocka_unit_test(counters_of_many_threads_lose_nothing_while_they_are_written),
        cmocka_unit_test(every_failing_allocation_is_told_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
