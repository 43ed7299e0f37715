/*
 * queue/select_value.h - what stands behind the = of a selector: sizes, nets, hosts, states, ids.
 *
 * Pure. Memory: a value keeps its text, nothing is allocated.
 */
#ifndef QUEUE_SELECT_VALUE_H
#define QUEUE_SELECT_VALUE_H
#include "queue/select_tree.h"

/* Reads v->text as a value of this key (enum select_key) and fills in the rest of v. NULL, or what
 * such a value looks like when it is none. */
const char *select_value_read(uint8_t key, struct value *v);
/* The same for a bare id; v->exact: it was one, not a pattern. 0 or -EINVAL. */
int select_value_id(struct value *v);

#endif
