/*
 * Network interfaces whose other end is in the host: vif0, vif1, ...
 *
 * An interface is an Ethernet that is made and removed by the host, through the
 * functions of rump_vif.h.  What the host can do for it (checksums, cutting up TCP
 * segments, putting them together) are its capabilities, which users turn off and on
 * as those of any interface (SIOCSIFCAP) and which the host may change at any time.
 *
 * The tree's interfaces are under KERNEL_LOCK unless they say otherwise; so is this
 * one, but for its queue of frames to be sent.
 */

#include "vifvar.h"

#include <sys/kmem.h>
#include <sys/sockio.h>
#include <sys/systm.h>

#include <net/if_dl.h>
#include <net/if_types.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/ip_var.h>
#include <netinet/ip6.h>
#include <netinet6/ip6_var.h>

CTASSERT(sizeof(struct rump_vif_offload) == 10);
CTASSERT(sizeof(struct rump_vif_part) == 16);
CTASSERT(sizeof(struct rump_vif_tx) == 32);
CTASSERT(offsetof(struct rump_vif_tx, offload) == 16);
CTASSERT(sizeof(struct rump_vif_rx) == 40);
CTASSERT(offsetof(struct rump_vif_rx, lease) == 16);
CTASSERT(offsetof(struct rump_vif_rx, offload) == 24);
CTASSERT(sizeof(struct rump_vif_config) == 24);
CTASSERT(sizeof(struct rump_vif_stats) == 112);

/*
 * A program's stack is a host, which forwards nothing unless it is told to (RFC 1122,
 * 3.3.1.1); the tree's rump kernels are compiled as gateways.  What is forwarded could
 * not come in large segments, either: see vif_passes_on.
 *
 * A listener may have as many connections waiting as Linux's may since 5.4
 * (net.core.somaxconn), which is what programs are tuned for; the tree's limit is that of
 * 1990s' machines.
 */
RUMP_COMPONENT(RUMP_COMPONENT_NET_IFCFG)
{
	extern int somaxconn;

	ipforwarding = 0;
	ip6_forwarding = 0;
	somaxconn = 4096;
	vif_splice_init();
}

static LIST_HEAD(, rump_vif) vif_list = LIST_HEAD_INITIALIZER(vif_list);

/* All that concerns what is received. */
#define	VIF_OFFLOADS_RX							\
	(RUMP_VIF_RX_CSUM | RUMP_VIF_RX_LRO4 | RUMP_VIF_RX_LRO6)

static uint64_t
vif_capabilities(uint32_t offloads)
{
	uint64_t caps = 0;

	if (offloads & RUMP_VIF_TX_CSUM) {
		caps |= VIF_CAPS_TX_CSUM;
		if (offloads & RUMP_VIF_TX_TSO4)
			caps |= IFCAP_TSOv4;
		if (offloads & RUMP_VIF_TX_TSO6)
			caps |= IFCAP_TSOv6;
	}
	if (offloads & RUMP_VIF_RX_CSUM) {
		caps |= VIF_CAPS_RX_CSUM;
		if (offloads & (RUMP_VIF_RX_LRO4 | RUMP_VIF_RX_LRO6))
			caps |= IFCAP_LRO;
	}
	return caps;
}

/*
 * Whether frames may leave the kernel again as they came, so that they must be able to:
 * in segments that fit a link, and with all their checksums.  What goes through a bridge
 * is finished where it leaves it (vif_bridge.c).
 */
static bool
vif_passes_on(struct rump_vif *vif)
{

	return ipforwarding || ip6_forwarding || vif->vif_ec.ec_nvlans > 0;
}

/* What of the host's offers is in use. */
uint32_t
vif_offloads(struct rump_vif *vif)
{
	uint64_t caps = VIF_IFP(vif)->if_capenable;
	uint32_t offloads = 0, offered = vif->vif_offered;
	struct rump_vif *other;

	if (caps & VIF_CAPS_TX_CSUM)
		offloads |= RUMP_VIF_TX_CSUM;
	if (caps & IFCAP_TSOv4)
		offloads |= RUMP_VIF_TX_TSO4;
	if (caps & IFCAP_TSOv6)
		offloads |= RUMP_VIF_TX_TSO6;
	if ((other = vif_below(vif)) != NULL)
		offered = other->vif_offered;
	if ((caps & VIF_CAPS_RX_CSUM) == VIF_CAPS_RX_CSUM && !vif_passes_on(vif) &&
	    vif->tx_through == NULL) {
		offloads |= RUMP_VIF_RX_CSUM;
		if (caps & IFCAP_LRO)
			offloads |= offered &
			    (RUMP_VIF_RX_LRO4 | RUMP_VIF_RX_LRO6);
	}
	/* What comes here is for another, and not marked for its bridge. */
	if ((other = vif_above(vif)) != NULL)
		offloads &= (VIF_IFP(other)->if_bridge == NULL ?
		    vif_offloads(other) : 0) | ~VIF_OFFLOADS_RX;
	return offloads;
}

void
vif_tell_state(struct rump_vif *vif)
{
	struct ifnet *ifp = VIF_IFP(vif);
	struct rump_vif *below;
	uint32_t flags = 0;

	if ((ifp->if_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING))
		flags |= RUMP_VIF_UP;
	if (vif->tx_splice != NULL)
		flags |= RUMP_VIF_SPLICED;
	vif->vif_told = vif_offloads(vif);
	vif->vif_ops->state(vif->vif_host, flags, vif->vif_told);
	/* Whoever brings its frames brings them as it takes them. */
	if ((below = vif_below(vif)) != NULL &&
	    vif_offloads(below) != below->vif_told)
		vif_tell_state(below);
}

/*
 * Makes the capabilities those that are offered, by the host or what it is spliced over,
 * without what users turned off.
 */
void
vif_renegotiate(struct rump_vif *vif)
{
	struct ifnet *ifp = VIF_IFP(vif);
	struct rump_vif *above;
	struct ifcapreq request;

	ifp->if_capabilities = vif->tx_splice != NULL ?
	    vif_splice_capabilities(vif->tx_splice) :
	    vif_capabilities(vif->vif_offered);
	memset(&request, 0, sizeof(request));
	request.ifcr_capenable = ifp->if_capabilities & ~vif->vif_disabled;
	(void)ifioctl_common(ifp, SIOCSIFCAP, &request);
	vif_tell_state(vif);
	if ((above = vif_above(vif)) != NULL)
		vif_renegotiate(above);
}

static int
vif_init(struct ifnet *ifp)
{

	ifp->if_flags |= IFF_RUNNING;
	vif_tell_state(ifp->if_softc);
	return 0;
}

static void
vif_stop(struct ifnet *ifp, int disable)
{

	ifp->if_flags &= ~IFF_RUNNING;
	vif_tell_state(ifp->if_softc);
}

static int
vif_ioctl(struct ifnet *ifp, u_long cmd, void *data)
{
	struct rump_vif *vif = ifp->if_softc;
	struct ifreq *ifr = data;
	struct vif_splice *s;
	int error;

	switch (cmd) {
	case SIOCSIFMEDIA:
	case SIOCGIFMEDIA:
		return ifmedia_ioctl(ifp, ifr, &vif->vif_media, cmd);
	case SIOCSIFMTU:
		/* As much as a frame can hold, not what is usual for Ethernet. */
		if (ifr->ifr_mtu < 68 || ifr->ifr_mtu > 65535)
			return EINVAL;
		mutex_enter(&vif->tx_lock);
		s = vif_splice_enter(vif);
		mutex_exit(&vif->tx_lock);
		error = 0;
		if (s != NULL) {
			error = vif_lower_mtu(s->s_lower, ifr->ifr_mtu);
			mutex_enter(&vif->tx_lock);
			vif_splice_leave(vif, s);
			mutex_exit(&vif->tx_lock);
		}
		if (error == 0)
			error = ifioctl_common(ifp, cmd, data);
		break;
	case SIOCADDMULTI:
	case SIOCDELMULTI:
		error = ether_ioctl(ifp, cmd, data);
		if (error == ENETRESET)
			vif_groups_change(vif, cmd, ifreq_getaddr(cmd, ifr));
		break;
	case SIOCSIFCAP:
		error = ifioctl_common(ifp, cmd, data);
		if (error == 0 || error == ENETRESET) {
			vif->vif_disabled =
			    ifp->if_capabilities & ~ifp->if_capenable;
			vif_tell_state(vif);
		}
		break;
	default:
		error = ether_ioctl(ifp, cmd, data);
		break;
	}
	/* There is no hardware to be told. */
	return error == ENETRESET ? 0 : error;
}

static int
vif_media_change(struct ifnet *ifp)
{

	return 0;
}

static void
vif_media_status(struct ifnet *ifp, struct ifmediareq *request)
{

	request->ifm_active = IFM_ETHER | IFM_NONE;
	request->ifm_status = IFM_AVALID;
	if (ifp->if_link_state != LINK_STATE_DOWN)
		request->ifm_status |= IFM_ACTIVE;
}

/* Takes the unit that is asked for, or the first that is free. */
static int
vif_take_unit(struct rump_vif *vif, int32_t unit)
{
	struct rump_vif *other;

	vif->vif_unit = unit < 0 ? 0 : unit;
again:
	LIST_FOREACH(other, &vif_list, vif_link) {
		if (other->vif_unit != vif->vif_unit)
			continue;
		if (unit >= 0)
			return EEXIST;
		vif->vif_unit++;
		goto again;
	}
	LIST_INSERT_HEAD(&vif_list, vif, vif_link);
	return 0;
}

static int
vif_attach(struct rump_vif *vif, const struct rump_vif_config *config)
{
	struct ifnet *ifp = VIF_IFP(vif);
	int error;

	if ((error = vif_take_unit(vif, config->unit)) != 0)
		return error;

	if_initname(ifp, "vif", vif->vif_unit);
	ifp->if_softc = vif;
	ifp->if_flags = IFF_BROADCAST | IFF_SIMPLEX | IFF_MULTICAST;
	ifp->if_init = vif_init;
	ifp->if_stop = vif_stop;
	ifp->if_ioctl = vif_ioctl;
	ifp->if_start = vif_start;
	ifp->if_transmit = vif_transmit;
	IFQ_SET_READY(&ifp->if_snd);

	ifmedia_init(&vif->vif_media, 0, vif_media_change, vif_media_status);
	ifmedia_add(&vif->vif_media, IFM_ETHER | IFM_NONE, 0, NULL);
	ifmedia_set(&vif->vif_media, IFM_ETHER | IFM_NONE);

	vif_transmit_attach(vif);

	/* It can fail in some trees, if there is no memory, which then is fatal. */
	(void)if_initialize(ifp);
	ether_ifattach(ifp, config->address);
	vif->vif_ec.ec_capabilities |= ETHERCAP_VLAN_MTU | ETHERCAP_JUMBO_MTU;
	if (config->mtu != 0)
		ifp->if_mtu = config->mtu;
	if_register(ifp);

	vif->vif_offered = config->offloads;
	vif->vif_host_link = config->link != 0;
	vif_renegotiate(vif);
	vif_tell_link(vif);
	return 0;
}

int
rump_vif_create(const struct rump_vif_ops *ops, void *host,
    const struct rump_vif_config *config, struct rump_vif **result, char *name)
{
	struct rump_vif *vif;
	int error;

	if (config->version != RUMP_VIF_VERSION ||
	    (config->offloads & ~RUMP_VIF_OFFLOADS) != 0 ||
	    (config->mtu != 0 && (config->mtu < 68 || config->mtu > 65535)))
		return EINVAL;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	vif = kmem_zalloc(sizeof(*vif), KM_SLEEP);
	vif->vif_ops = ops;
	vif->vif_host = host;
	if ((error = vif_attach(vif, config)) == 0) {
		strlcpy(name, VIF_IFP(vif)->if_xname, IFNAMSIZ);
		*result = vif;
	} else {
		kmem_free(vif, sizeof(*vif));
	}
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
	return error;
}

void
rump_vif_destroy(struct rump_vif *vif)
{
	struct ifnet *ifp = VIF_IFP(vif);
	int s;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	vif_splice_detach(vif);
	s = splnet();
	if (ifp->if_flags & IFF_UP)
		if_down(ifp);
	splx(s);
	vif_stop(ifp, 1);
	ether_ifdetach(ifp);
	if_detach(ifp);
	vif_transmit_detach(vif);
	ifmedia_delete_instance(&vif->vif_media, IFM_INST_ANY);
	LIST_REMOVE(vif, vif_link);
	kmem_free(vif, sizeof(*vif));
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
}

void
rump_vif_set_offloads(struct rump_vif *vif, uint32_t offloads)
{

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	vif->vif_offered = offloads & RUMP_VIF_OFFLOADS;
	vif_renegotiate(vif);
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
}

void
rump_vif_set_link(struct rump_vif *vif, int link)
{

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	vif->vif_host_link = link != 0;
	vif_tell_link(vif);
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
}

void
rump_vif_get_stats(struct rump_vif *vif, struct rump_vif_stats *stats)
{

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	mutex_enter(&vif->tx_lock);
	*stats = vif->vif_stats;
	mutex_exit(&vif->tx_lock);
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
}
