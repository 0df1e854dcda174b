/*
 * Pools that grow for a sleeper without failing those who cannot wait.
 *
 * Where a pool marks that it is growing, a caller that may sleep grows it with
 * the pool unlocked, and whoever cannot wait gets nothing meanwhile: a segment
 * is lost, and a connection that has just been made is reset.  A caller that
 * cannot wait keeps the pool locked while it grows it, and all others queue up
 * for the lock and find what they need.
 *
 * A page of a rump kernel comes from the host at once, unless there is none.
 * So every caller is first taken for one that cannot wait, and sleeps only if
 * there was nothing to be had.
 */

#include <sys/param.h>
#include <sys/pool.h>

/* The tree's own definitions. */
void	*pool_get_tree(struct pool *, int);
void	*pool_cache_get_paddr_tree(pool_cache_t, int, paddr_t *);

static int
at_once(int flags)
{

	return (flags & ~PR_WAITOK) | PR_NOWAIT;
}

void *
pool_get(struct pool *pool, int flags)
{
	void *item;

	if ((item = pool_get_tree(pool, at_once(flags))) == NULL &&
	    (flags & PR_WAITOK) != 0)
		item = pool_get_tree(pool, flags);
	return item;
}

void *
pool_cache_get_paddr(pool_cache_t cache, int flags, paddr_t *physical)
{
	void *item;

	if ((item = pool_cache_get_paddr_tree(cache, at_once(flags),
	    physical)) == NULL && (flags & PR_WAITOK) != 0)
		item = pool_cache_get_paddr_tree(cache, flags, physical);
	return item;
}
