//! Mounts, devices, masks, the root.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::Case;
use crate::stage::{Stage, finish, options, shell};
use bryo_runtime::{Rootfs, create};
use bryo_sys::mount::{Attributes, Change, Maker, Propagation, attach, set_attributes};
use bryo_sys::rooted::Root;
use serde_json::{Value, json};

pub const CASES: &[Case] = &[
    ("the_default_mounts", the_default_mounts),
    ("devices_and_links", devices_and_links),
    ("binds", binds),
    ("recursive_read_only", recursive_read_only),
    ("shared_binds", shared_binds),
    ("hostile_targets_stay_inside", hostile_targets_stay_inside),
    ("a_linked_proc_is_refused", a_linked_proc_is_refused),
    ("mistakes_are_explained", mistakes_are_explained),
    ("tmpfs_options", tmpfs_options),
    ("masked_and_read_only_paths", masked_and_read_only_paths),
    ("read_only_root", read_only_root),
    ("many_layers", many_layers),
    ("long_names", long_names),
    ("plain_folder", plain_folder),
    ("fuse_overlay", fuse_overlay),
    ("extra_devices", extra_devices),
];

pub fn mount(spec: &mut Value, mount: Value) {
    spec["mounts"].as_array_mut().unwrap().push(mount);
}

fn the_default_mounts() {
    let outcome = Stage::new().run(&shell("cat /proc/self/mounts"));
    let line = |place: &str| {
        let found = outcome.out.lines().find(|l| l.split(' ').nth(1) == Some(place));
        found.unwrap_or_else(|| panic!("no {place} in\n{}", outcome.out)).to_owned()
    };
    assert!(line("/").starts_with("overlay / overlay rw,"));
    assert!(line("/").contains("userxattr"));
    assert!(
        line("/proc").starts_with("proc /proc proc rw,nosuid,nodev,noexec"),
        "{}",
        line("/proc")
    );
    assert!(line("/dev").contains("tmpfs rw,nosuid,size=65536k,mode=755"));
    assert!(line("/dev/pts").contains("devpts rw,nosuid,noexec"));
    assert!(line("/sys").contains("sysfs ro,nosuid,nodev,noexec"));
    assert!(line("/dev/mqueue").contains("mqueue rw,nosuid,nodev,noexec"));
    assert!(line("/dev/shm").contains("size=65536k"), "64 MiB");
    assert!(line("/proc/sys").contains(" ro,"));
    // Nothing of the host is left.
    assert!(outcome.out.lines().skip(1).all(|l| !l.contains("/home") && !l.contains("/tmp/")));
}

fn devices_and_links() {
    let script = "head -c 4 /dev/urandom | wc -c; echo x >/dev/null; head -c 2 /dev/zero | wc -c; \
                  readlink /dev/fd; readlink /dev/ptmx; echo through >/dev/stdout; ls /dev | wc -l";
    let outcome = Stage::new().run(&shell(script));
    assert_eq!(outcome.out, "4\n2\n/proc/self/fd\npts/ptmx\nthrough\n15\n");
}

fn binds() {
    let stage = Stage::new();
    std::fs::create_dir_all(stage.path("host/sub")).unwrap();
    std::fs::write(stage.path("host/file"), "hello").unwrap();
    let mut spec = shell(
        "cat /rw/file /one /ro/file; echo new >/rw/made; echo no >/ro/made; echo $?; echo no >/one",
    );
    let host = stage.path("host");
    mount(
        &mut spec,
        json!({"destination": "/rw", "source": host, "options": ["rbind", "rprivate"]}),
    );
    mount(
        &mut spec,
        json!({"destination": "/ro", "source": host, "type": "bind",
        "options": ["rbind", "ro", "rprivate"]}),
    );
    mount(
        &mut spec,
        json!({"destination": "/one", "source": host.join("file"), "type": "bind",
        "options": ["bind", "ro"]}),
    );
    let outcome = stage.run(&spec);
    assert!(outcome.out.starts_with("hellohellohello"), "{}", outcome.out);
    assert_eq!(outcome.out.matches("Read-only file system").count(), 2, "{}", outcome.out);
    assert_eq!(std::fs::read_to_string(host.join("made")).unwrap(), "new\n");
}

/// A tmpfs at a folder of the stage.
fn tmpfs_at(path: &std::path::Path) -> OwnedFd {
    std::fs::create_dir_all(path).unwrap();
    let tmpfs = Maker::new("tmpfs").unwrap().mount(Attributes::NONE).unwrap();
    attach(tmpfs.as_fd(), Root::open(path).unwrap().as_fd()).unwrap();
    tmpfs
}

/// `rshared`: what the container mounts shows outside; with `rslave`, only the other way round.
fn shared_binds() {
    let stage = Stage::new();
    let tmpfs = tmpfs_at(&stage.path("host"));
    let shared = Change { propagation: Some(Propagation::Shared), ..Change::default() };
    set_attributes(tmpfs.as_fd(), false, shared).unwrap();
    std::fs::create_dir(stage.path("host/new")).unwrap();
    let seen = |word: &str| {
        let mut spec =
            shell("mount -t tmpfs made /data/new && grep -c made /proc/mounts && read x");
        spec["process"]["capabilities"] = crate::stage::all_capabilities();
        mount(
            &mut spec,
            json!({"destination": "/data", "source": stage.path("host"),
            "options": ["rbind", word]}),
        );
        let (mut options, output) = options(stage.overlay());
        let (stdin, typist) = crate::stage::pipe();
        if let bryo_runtime::Stdio::Files { stdin: place, .. } = &mut options.stdio {
            *place = stdin;
        }
        let spec = serde_json::from_value(spec).unwrap();
        let running = create(&spec, options).unwrap().start().unwrap();
        let mut output = std::fs::File::from(output);
        let mut count = [0; 2];
        std::io::Read::read_exact(&mut output, &mut count).unwrap();
        assert_eq!(&count, b"1\n");
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        drop(typist);
        finish(running, output.into());
        mounts.contains("made ")
    };
    assert!(!seen("rslave"));
    assert!(!seen("rprivate"));
    assert!(seen("rshared"));
}

fn recursive_read_only() {
    let stage = Stage::new();
    tmpfs_at(&stage.path("host/below"));
    let run = |word: &str| {
        let mut spec = shell("echo x >/data/below/file && echo written");
        mount(
            &mut spec,
            json!({"destination": "/data", "source": stage.path("host"),
            "options": ["rbind", word]}),
        );
        stage.run(&spec).out
    };
    assert_eq!(run("ro"), "written\n");
    assert!(run("rro").contains("Read-only file system"));
}

/// Links in the image that lead out of it: targets must be made inside, the host's folders left alone.
fn hostile_targets_stay_inside() {
    let stage = Stage::new();
    let victim = stage.path("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::create_dir(stage.path("host")).unwrap();
    std::fs::write(stage.path("host/file"), "payload").unwrap();
    symlink(&victim, stage.path("lower/absolute")).unwrap();
    symlink("../../../../../../../../../../../../victim", stage.path("lower/climbing")).unwrap();
    symlink("/proc/self/root", stage.path("lower/magic")).unwrap();
    symlink("/proc/1/root/etc", stage.path("lower/magic2")).unwrap();
    for name in ["absolute", "absolute/deeper/still", "climbing/x", "magic/x", "magic2/x"] {
        let mut spec = shell(&format!("cat /{name}/file"));
        mount(
            &mut spec,
            json!({"destination": format!("/{name}"),
            "source": stage.path("host"), "options": ["rbind"]}),
        );
        // Either it lands inside, or it is refused; never outside.
        if let Ok(outcome) = stage.try_run(&spec) {
            assert!(outcome.out.starts_with("payload") || outcome.code != 0, "{name}: {outcome:?}");
        }
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0, "{name} reached the host");
        assert!(!std::path::Path::new("/victim").exists());
    }
}

fn a_linked_proc_is_refused() {
    let stage = Stage::new();
    std::fs::remove_dir(stage.path("lower/proc")).unwrap();
    symlink("/tmp", stage.path("lower/proc")).unwrap();
    let e = stage.try_run(&shell("true")).unwrap_err();
    assert!(e.message().contains("/proc is a symbolic link in the image"), "{e}");
}

fn mistakes_are_explained() {
    let stage = Stage::new();
    std::fs::write(stage.path("file"), "x").unwrap();
    let fails = |m: Value| {
        let mut spec = shell("true");
        mount(&mut spec, m);
        stage.try_run(&spec).unwrap_err().message().to_owned()
    };
    let text =
        fails(json!({"destination": "/etc", "source": stage.path("file"), "options": ["bind"]}));
    assert!(text.contains("not a directory"), "{text}");
    assert!(text.contains("Are you trying to mount a directory onto a file"), "{text}");
    let text = fails(json!({"destination": "/x", "source": "/no/such", "options": ["bind"]}));
    assert!(text.contains("\"/no/such\"") && text.contains("no such file or directory"), "{text}");
    let text = fails(json!({"destination": "/x", "type": "tmpfs", "options": ["size=lots"]}));
    assert!(text.contains("size"), "{text}");
    let text = fails(json!({"destination": "/proc/1", "source": "/", "options": ["bind"]}));
    assert!(text.contains("\"/proc/1\" cannot be mounted because it is inside /proc"), "{text}");
}

fn tmpfs_options() {
    let stage = Stage::new();
    std::fs::create_dir_all(stage.path("lower/data/sub")).unwrap();
    std::fs::write(stage.path("lower/data/sub/file"), "from the image").unwrap();
    symlink("sub/file", stage.path("lower/data/link")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(stage.path("lower/tmp"), mode).unwrap();
    let mut spec = shell(
        "stat -c %a /a /tmp; df -k /a | grep -c ' 1024 '; cat /data/link; echo; echo x >/data/sub/file; echo $?; \
         echo y >/b/file",
    );
    mount(
        &mut spec,
        json!({"destination": "/a", "type": "tmpfs",
        "options": ["nosuid", "nodev", "noexec", "size=1m", "mode=700"]}),
    );
    mount(&mut spec, json!({"destination": "/tmp", "type": "tmpfs"}));
    mount(&mut spec, json!({"destination": "/data", "type": "tmpfs", "options": ["tmpcopyup"]}));
    mount(&mut spec, json!({"destination": "/b", "type": "tmpfs", "options": ["ro"]}));
    let outcome = stage.run(&spec);
    assert!(outcome.out.starts_with("700\n1777\n1\nfrom the image\n0\n"), "{}", outcome.out);
    assert!(outcome.out.contains("Read-only file system"), "{}", outcome.out);
}

fn masked_and_read_only_paths() {
    let script = "cat /proc/keys /proc/timer_list; ls /proc/acpi /sys/firmware; \
                  echo 1 >/proc/sys/kernel/hostname; echo x >/proc/timer_list; echo $?";
    let stage = Stage::new();
    let outcome = stage.run(&shell(script));
    assert!(!outcome.out.contains("perm"), "keys are visible: {}", outcome.out);
    assert!(outcome.out.contains("Read-only file system"), "{}", outcome.out);
    // A link in the image cannot lead a mask astray.
    symlink("/tmp", stage.path("lower/elsewhere")).unwrap();
    std::fs::write(stage.path("lower/tmp/secret"), "secret").unwrap();
    let mut spec = shell("cat /tmp/secret; cat /elsewhere/secret; true");
    spec["linux"]["maskedPaths"] = json!(["/elsewhere/secret", "/not/there"]);
    assert_eq!(stage.run(&spec).out, "");
}

fn read_only_root() {
    let mut spec = shell("touch /x; echo ok >/dev/shm/x && cat /dev/shm/x; pwd");
    spec["root"]["readonly"] = json!(true);
    spec["process"]["cwd"] = json!("/new/folder");
    let outcome = Stage::new().run(&spec);
    assert!(outcome.out.contains("Read-only file system"), "{}", outcome.out);
    assert!(outcome.out.ends_with("ok\n/new/folder\n"), "{}", outcome.out);
}

fn layers(stage: &Stage, count: usize, folder: &str) -> Vec<PathBuf> {
    let mut lower: Vec<PathBuf> = (0..count)
        .map(|n| {
            let layer = stage.path(folder).join(format!("layer{n:03}"));
            std::fs::create_dir_all(&layer).unwrap();
            std::fs::write(layer.join(format!("file{n}")), "x").unwrap();
            std::fs::write(layer.join("top"), n.to_string()).unwrap();
            layer
        })
        .collect();
    lower.push(stage.path("lower"));
    lower
}

fn run_layers(stage: &Stage, lower: Vec<PathBuf>) -> String {
    let rootfs = Rootfs::Overlay { lower, upper: stage.path("upper"), work: stage.path("work") };
    let (options, output) = options(rootfs);
    let spec = serde_json::from_value(shell("ls / | grep -c file; cat /top")).unwrap();
    finish(create(&spec, options).unwrap().start().unwrap(), output).out
}

fn many_layers() {
    let stage = Stage::new();
    let lower = layers(&stage, 128, "layers");
    assert_eq!(run_layers(&stage, lower), "128\n0");
}

fn long_names() {
    let stage = Stage::new();
    let folder = format!("{}/{}", "long".repeat(50), "name".repeat(40));
    let lower = layers(&stage, 20, &folder);
    assert!(lower[0].as_os_str().len() > 300);
    assert_eq!(run_layers(&stage, lower), "20\n0");
}

fn plain_folder() {
    let stage = Stage::new();
    let (options, output) = options(Rootfs::Folder(stage.path("lower")));
    let spec = serde_json::from_value(shell("echo hi >/made; cat /made")).unwrap();
    let outcome = finish(create(&spec, options).unwrap().start().unwrap(), output);
    assert_eq!(outcome.out, "hi\n");
    assert!(stage.path("lower/made").exists());
}

fn fuse_overlay() {
    let program = PathBuf::from("/usr/bin/fuse-overlayfs");
    if !program.exists() || !std::path::Path::new("/dev/fuse").exists() {
        println!("SKIPPED: fuse-overlayfs or /dev/fuse is missing");
        return;
    }
    let stage = Stage::new();
    let rootfs = Rootfs::FuseOverlay {
        program,
        lower: vec![stage.path("lower")],
        upper: stage.path("upper"),
        work: stage.path("work"),
    };
    let (options, output) = options(rootfs);
    let spec =
        serde_json::from_value(shell("echo hi >/made; cat /made; cat /proc/mounts")).unwrap();
    let outcome = finish(create(&spec, options).unwrap().start().unwrap(), output);
    assert!(outcome.out.starts_with("hi\nfuse-overlayfs / fuse.fuse-overlayfs"), "{outcome:?}");
    assert!(stage.path("upper/made").exists());
}

fn extra_devices() {
    let stage = Stage::new();
    let mut spec = shell("stat -c %t:%T /dev/other; echo hi >/dev/pipe & cat /dev/pipe");
    spec["linux"]["devices"] = json!([
        {"path": "/dev/other", "type": "c", "major": 1, "minor": 7},
        {"path": "/dev/pipe", "type": "p"},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
    ]);
    assert_eq!(stage.run(&spec).out, "1:7\nhi\n");
    spec["linux"]["devices"] = json!([{"path": "/dev/no", "type": "b", "major": 250, "minor": 99}]);
    let e = stage.try_run(&spec).unwrap_err();
    assert!(e.message().contains("no block device 250:99 on the host"), "{e}");
}
