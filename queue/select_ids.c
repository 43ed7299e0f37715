#include "queue/select_ids.h"

#include "core/err.h"

#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static struct ids ids_of(const struct node *n);

static struct ids ids_of_term(const struct node *t)
{
	struct ids out = { .any = t->key != SELECT_ID || t->op != OP_IS };
	size_t n = 0;

	for (const struct value *v = t->values; v && !out.any; v = v->next) {
		out.any = !v->exact;
		n++;
	}
	if (out.any)
		return out;
	out.id = xmalloc((n + 1) * sizeof *out.id);
	for (const struct value *v = t->values; v; v = v->next)
		out.id[out.count++] = v->number;
	return out;
}

static struct ids ids_of_or(const struct node *n)
{
	struct ids out = { .any = false };

	for (const struct node *c = n->child; c && !out.any; c = c->next) {
		struct ids part = ids_of(c);

		out.any = part.any;
		if (!part.any) {
			out.id = xrealloc(out.id, (out.count + part.count + 1) * sizeof *out.id);
			memcpy(out.id + out.count, part.id, part.count * sizeof *out.id);
			out.count += part.count;
			free(part.id);
		}
	}
	if (out.any) {
		free(out.id);
		out = (struct ids){ .any = true };
	}
	return out;
}

/* The smallest set that is known of one of the terms: it holds all that match. */
static struct ids ids_of_and(const struct node *n)
{
	struct ids out = { .any = true };

	for (const struct node *c = n->child; c; c = c->next) {
		struct ids part = ids_of(c);

		if (part.any || (!out.any && out.count <= part.count)) {
			free(part.id);
			continue;
		}
		free(out.id);
		out = part;
	}
	return out;
}

static struct ids ids_of(const struct node *n)
{
	switch (n->kind) {
	case NODE_TERM:
		return ids_of_term(n);
	case NODE_OR:
		return ids_of_or(n);
	case NODE_AND:
		return ids_of_and(n);
	default:
		return (struct ids){ .any = true };
	}
}

static void sort_ids(struct ids *s)
{
	size_t n = 0;

	if (s->any || !s->count)
		return;
	qsort(s->id, s->count, sizeof *s->id, by_number);
	for (size_t i = 0; i < s->count; i++)
		if (!n || s->id[n - 1] != s->id[i])
			s->id[n++] = s->id[i];
	s->count = n;
}

struct ids select_ids_of(const struct node *root)
{
	struct ids s = ids_of(root);

	sort_ids(&s);
	return s;
}
