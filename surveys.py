"""What a look at an EKS cluster itself shows, whether it has an object or not: profiles of ours that are no object's,
and whether it is the cluster that the objects are in.

The picture: view of a cluster -> lines of the log. What it is not: the look (reconcile), or a change of anything.
"""

from __future__ import annotations

import logging

import status
from aws import Profile
from clusters import Cluster, View
from entries import Entry
from informer import Store
from limits import Settings
from passes import Kube
from sites import Homes, Site, Sites
from spec import Identity, Memory, controlled_by, owner_of
from surroundings import Home, elsewhere

log = logging.getLogger("fargate")


class Surveys:
    """Tells of what was found once, as long as it is so.

    `elsewhere`: whether the controller's own cluster is another than that of the objects; None before it was asked.
    """

    def __init__(self, store: Store, kube: Kube, sites: Sites, homes: Homes, settings: Settings) -> None:
        self._store, self._kube, self._sites, self._homes, self._settings = store, kube, sites, homes, settings
        self.elsewhere: bool | None = None

    def compare(self, home: Home, entry: Entry, site: Site) -> None:
        """Say, once a process, where the objects' own cluster is another than the one that is looked at."""
        if self.elsewhere is None and (authority := self._sites.authority_of(entry)):
            text = elsewhere(home, authority, site.known.cluster(home.cluster))
            self.elsewhere = bool(text)
            if text:
                warn(home.shown, "ClusterElsewhere", text)

    def find_orphans(self, home: Home, cluster: Cluster, view: View) -> None:
        """Log each profile that is tagged as ours and belongs to no object: orphans, copied tags. Never touch one."""
        controller = self._homes.controller
        ours = [each for each in view.profiles.values() if controller and controlled_by(each, controller)]
        for profile, why in cluster.new_orphans(
            {each.name: self._why_orphan(each, home.cluster_arn) for each in ours}
        ).items():
            log.warning(status.LOGGED_ORPHAN, {"cluster": home.shown, "profile": profile, "message": why})

    def _why_orphan(self, profile: Profile, here: str) -> str:
        key = owner_of(profile)
        if obj := self._store.get(key) if key else None:
            memory = Memory.parse(obj)
            who = Identity.parse(obj, memory, self._settings.cluster)
            return status.stray(profile, who, here, (self._homes.arn(who), memory.made_in))
        return status.ownerless(profile) if key is None or self._kube.exists(*key) is False else ""


def warn(cluster: str, reason: str, message: str) -> None:
    log.warning(status.LOGGED_SURVEY, {"cluster": cluster, "reason": reason, "message": message})
