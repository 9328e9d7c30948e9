/*
 * cli/kafka_names.h - settings of Apache Kafka's broker that `weir broker` does not have.
 *
 * What:    a file written for Apache Kafka can be given to `weir broker`: what a single node has no
 *          use for is passed over and told once; what would change who may do what, or what is
 *          kept, is refused, so that nobody believes it is in force.
 * Life:    a static table.
 * Threads: any.
 * Memory:  none.
 * Errors:  none.
 */
#ifndef CLI_KAFKA_NAMES_H
#define CLI_KAFKA_NAMES_H

#include <stdbool.h>

struct kafka_name {
    const char *name; /* the setting, or with a "*" at its end all that begin so */
    bool refused;
    const char *hint; /* what to do, or why it does not matter */
};

/* NULL: not a name of Kafka's, or one that we have. */
const struct kafka_name *kafka_name_find(const char *name);

#endif
