#include "bench/timerq.h"
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static void place(struct timerq *q, size_t i, struct timerq_node *node)
{
	q->heap[i] = node;
	node->at = i + 1;
}

/* Moves the node at i to where it belongs, up or down. */
static void settle(struct timerq *q, size_t i)
{
	struct timerq_node *node = q->heap[i];

	while (i > 0 && q->heap[(i - 1) / 2]->due_usec > node->due_usec) {
		place(q, i, q->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		size_t c = 2 * i + 1;
		if (c + 1 < q->n && q->heap[c + 1]->due_usec < q->heap[c]->due_usec)
			c++;
		if (c >= q->n || q->heap[c]->due_usec >= node->due_usec)
			break;
		place(q, i, q->heap[c]);
		i = c;
	}
	place(q, i, node);
}

void timerq_set(struct timerq *q, struct timerq_node *node, usec_t due_usec)
{
	node->due_usec = due_usec;
	if (!node->at) {
		if (q->n == q->cap) {
			size_t cap = q->cap ? q->cap * 2 : 64;
			struct timerq_node **heap =
				realloc(q->heap, cap * sizeof(struct timerq_node *));
			if (!heap) {
				fprintf(stderr, "out of memory\n");
				exit(EX_OSERR);
			}
			q->heap = heap;
			q->cap = cap;
		}
		place(q, q->n++, node);
	}
	settle(q, node->at - 1);
}

void timerq_cancel(struct timerq *q, struct timerq_node *node)
{
	if (!node->at)
		return;
	size_t i = node->at - 1;
	struct timerq_node *last = q->heap[--q->n];
	node->at = 0;
	if (last != node) {
		place(q, i, last);
		settle(q, i);
	}
}

struct timerq_node *timerq_pop(struct timerq *q, usec_t now_usec)
{
	if (q->n == 0 || q->heap[0]->due_usec > now_usec)
		return NULL;
	struct timerq_node *node = q->heap[0];
	timerq_cancel(q, node);
	return node;
}

usec_t timerq_next(const struct timerq *q, usec_t otherwise)
{
	return q->n && q->heap[0]->due_usec < otherwise ? q->heap[0]->due_usec : otherwise;
}

void timerq_free(struct timerq *q)
{
	free(q->heap);
	*q = (struct timerq){ 0 };
}
