/*
 * Addresses that are not freed while routes to them are made.
 *
 * In NetBSD 7 a new address has no references when the routes to it are made, and
 * a route that cannot be made, because there is one, gives back the reference that
 * it took: the only one.  The address is freed while its maker goes on with it, who
 * frees it again (IPv6 on a second loopback interface) or puts it into the lists of
 * addresses, where the next owner of the memory closes a circle.  NetBSD 8 has a
 * reference of its own until the address is in the lists.
 *
 * Whoever calls these two functions goes on with the address, so it is held within
 * them, and it is left to the caller to free it.
 */

#include <sys/param.h>

#ifdef IFAREF_UNHELD

#include <sys/socket.h>

#include <net/if.h>
#include <net/route.h>

/* The tree's own definitions. */
int	rtinit_tree(struct ifaddr *, int, int);
int	rt_ifa_addlocal_tree(struct ifaddr *);

int
rtinit(struct ifaddr *ifa, int cmd, int flags)
{
	int error;

	ifa->ifa_refcnt++;
	error = rtinit_tree(ifa, cmd, flags);
	ifa->ifa_refcnt--;
	return error;
}

int
rt_ifa_addlocal(struct ifaddr *ifa)
{
	int error;

	ifa->ifa_refcnt++;
	error = rt_ifa_addlocal_tree(ifa);
	ifa->ifa_refcnt--;
	return error;
}

#endif	/* IFAREF_UNHELD */
