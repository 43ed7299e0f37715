/*
 * queue/select_tree.h - a selector after it was parsed: for queue/select.c, which makes it, and
 * select_match.c.
 *
 * Memory: everything is in the arena of the selector. Constant once it is made.
 */
#ifndef QUEUE_SELECT_TREE_H
#define QUEUE_SELECT_TREE_H
#include "core/arena.h"
#include "queue/select.h"

enum node_kind { NODE_TERM = 0, NODE_AND, NODE_OR, NODE_NOT };
enum op { OP_IS = 0, OP_NOT, OP_LESS, OP_MORE, OP_UPTO, OP_FROM };
enum { ANY_MAILER = 0xff, DEFAULT_PORT = 25 };

/* One value of a list; what is filled in depends on the key. */
struct value {
	struct value *next;
	struct span text;
	bool exact; /* SELECT_ID: number is the id */
	bool none;  /* the value was "none" or empty */
	uint64_t number;
	uint8_t mailer; /* SELECT_HOST: or ANY_MAILER */
	bool any_host;
	uint16_t port; /* 0: any */
	struct addr_net net;
};

struct node {
	struct node *next; /* of the same parent */
	struct node *child;
	uint8_t kind, key, op;
	struct value *values;
};

/* Ids that a part can match at most. */
struct ids {
	bool any;
	uint64_t *id;
	size_t count;
};

struct select {
	struct arena *arena;
	struct span text;
	struct node *root; /* NULL: everything */
	struct ids ids;
	unsigned keys;
};

#endif
