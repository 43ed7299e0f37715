/*
 * queue/select_ids.h - which messages can a selector match at most? So that a command about one
 * message does not walk over a million.
 *
 * Pure.
 */
#ifndef QUEUE_SELECT_IDS_H
#define QUEUE_SELECT_IDS_H
#include "queue/select_tree.h"

/* Sorted, each once; the caller frees .id. .any: no set is known. */
struct ids select_ids_of(const struct node *root);

#endif
