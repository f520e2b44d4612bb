"""Containers of rendered manifests as processes of this machine: in a mount namespace with a root file system that cannot
be written, with the volumes, the settings and the user that the manifest names."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENTER = ROOT / "tests/secure/enter.sh"
USER = 10001
# Places that no container of ours has a volume for.
CLOSED = ("/", "/tmp", "/etc", "/usr/local/bin", "/var", "/home")


class Pods:
    """Pods of the workloads of a target, with their volumes below a folder."""

    def __init__(self, manifests, folder, programs, secrets):
        self.manifests, self.folder, self.programs, self.secrets = manifests, folder, programs, secrets

    def workload(self, program):
        """Returns the first workload of a program."""
        return next(found for found in self.manifests.workloads if found.program == program)

    def source(self, workload, name):
        """Returns the folder that stands for a volume, and makes it: one for each claim, secret, or pod."""
        volume = next(volume for volume in workload.pod["volumes"] if volume["name"] == name)
        if "persistentVolumeClaim" in volume:
            folder = self.folder / "claims" / volume["persistentVolumeClaim"]["claimName"]
        elif "secret" in volume:
            folder = self.folder / "secrets" / volume["secret"]["secretName"]
            folder.mkdir(parents=True, exist_ok=True)
            for item in volume["secret"]["items"]:
                (folder / item["path"]).write_bytes(self.secrets[volume["secret"]["secretName"]][item["key"]])
            return folder
        else:
            assert "emptyDir" in volume, volume
            folder = self.folder / "pods" / workload.program / name
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, USER, USER)
        return folder

    def command(self, workload, container, *words):
        """Returns the command line that runs words in a container."""
        mounts = []
        for mount in container.get("volumeMounts", []):
            mode = "ro" if mount.get("readOnly") else "rw"
            mounts.append(f"{self.source(workload, mount['name'])}:{mount['mountPath']}:{mode}")
        root = self.folder / f"root-{workload.program}"
        root.mkdir(exist_ok=True)
        enter = ["sh", str(ENTER), str(root), str(self.programs)]
        return ["unshare", "--mount", "--propagation", "private", *enter, *mounts, "--", *words]

    def environment(self, container):
        """Returns the variables of a container: those of the image, of the manifest, and no others."""
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/cache", "HF_HOME": "/cache",
                **self.manifests.variables(container)}

    def prepare(self, program):
        """Runs the init containers of a program."""
        workload = self.workload(program)
        for container in workload.pod.get("initContainers", []):
            subprocess.run(self.command(workload, container, *container["command"]), check=True,
                           env=self.environment(container), cwd="/")

    def writable(self, program):
        """Returns the places among the volumes and the closed ones at which a container can write."""
        workload = self.workload(program)
        container = workload.containers[0]
        mounted = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        test = 'for place; do if touch "$place/probe" 2>/dev/null; then rm "$place/probe"; echo "$place"; fi; done'
        done = subprocess.run(self.command(workload, container, "sh", "-c", test, "sh", *CLOSED, *mounted), check=True,
                              capture_output=True, text=True, cwd="/")
        return set(done.stdout.split())

    def declared(self, program):
        """Returns the paths that the manifest lets a container write."""
        mounts = self.workload(program).containers[0].get("volumeMounts", [])
        return {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}

    def files(self):
        """Returns the folders that were written, each with its number of files."""
        counts = {}
        for part in ("pods", "claims"):
            for path in (self.folder / part).rglob("*"):
                if path.is_file():
                    place = "/".join(path.relative_to(self.folder).parts[:3])
                    counts[place] = counts.get(place, 0) + 1
        return counts


def permitted():
    """Returns why this machine permits no mount namespaces; None if it does."""
    if sys.platform != "linux":
        return "mount namespaces are Linux's"
    test = "mount -t tmpfs probe /mnt && mount -o remount,ro /mnt && chroot / setpriv --bounding-set=-all true"
    try:
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", test], capture_output=True,
                              text=True)
    except FileNotFoundError as error:
        return str(error)
    return done.stderr.strip() or None
