#include "proto/smtpc_pool.h"

#include "proto/smtpc_session.h"

static unsigned bucket_of(const struct smtpc_key *key)
{
	return (unsigned)(hash_mix(addr_hash(&key->host), key->mailer) % SMTPC_POOL_BUCKETS);
}

void smtpc_pool_put(struct smtpc_pool *p, struct smtpc_pool_link *l)
{
	struct smtpc_pool_link **b = &p->bucket[bucket_of(&l->session->key)];

	l->next = *b;
	if (l->next)
		l->next->prev = &l->next;
	l->prev = b;
	*b = l;
	l->newer = NULL;
	l->older = p->newest;
	if (p->newest)
		p->newest->newer = l;
	else
		p->oldest = l;
	p->newest = l;
	p->count++;
}

void smtpc_pool_remove(struct smtpc_pool *p, struct smtpc_pool_link *l)
{
	if (!l->prev)
		return;
	*l->prev = l->next;
	if (l->next)
		l->next->prev = l->prev;
	l->prev = NULL;
	if (l->older)
		l->older->newer = l->newer;
	else
		p->oldest = l->newer;
	if (l->newer)
		l->newer->older = l->older;
	else
		p->newest = l->older;
	p->count--;
}

static struct smtpc_pool_link *find(const struct smtpc_pool *p, const struct smtpc_key *key)
{
	struct smtpc_pool_link *l = p->bucket[bucket_of(key)];

	while (l && !smtpc_key_eq(&l->session->key, key))
		l = l->next;
	return l;
}

bool smtpc_pool_has(const struct smtpc_pool *p, const struct smtpc_key *key)
{
	return find(p, key) != NULL;
}

struct smtpc_session *smtpc_pool_take(struct smtpc_pool *p, const struct smtpc_key *key)
{
	struct smtpc_pool_link *l = find(p, key);

	if (!l)
		return NULL;
	smtpc_pool_remove(p, l);
	return l->session;
}

struct smtpc_session *smtpc_pool_oldest(const struct smtpc_pool *p)
{
	return p->oldest ? p->oldest->session : NULL;
}
