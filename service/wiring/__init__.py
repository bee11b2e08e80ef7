"""The composition root: it alone knows adapters and channels, and puts the house together."""

from service.wiring.benching import Bench, advise_bench, plan_bench, run_bench
from service.wiring.calibrating import open_calibration
from service.wiring.copying import CopyReport, OpenCopy, open_copy
from service.wiring.diagnosis import diagnose
from service.wiring.encoding import open_encode_server
from service.wiring.examiner import FileExaminer, has_sound_captioner, open_file_examiner
from service.wiring.house import Moodreel, open_moodreel
from service.wiring.keeping import Show, restore_backup, write_backup
from service.wiring.matching import open_feedback
from service.wiring.pruning import Holdings, Pruned, check_unused, open_pruner
from service.wiring.reels import ReelOrder, Screening, make_reel, open_screening
from service.wiring.replaying import Replayed, rehearse, resend
from service.wiring.tags import Edited, LibraryTags, open_tags
from service.wiring.triggers import TriggerDesk, open_triggers
from service.wiring.upgrading import remove_old_databases, upgrade_database
from service.wiring.upkeep import (
    apply_migrations,
    list_models,
    migration_status,
    print_migrations,
    pull_model,
    verify_model,
    write_migrations,
)

__all__ = [
    "Bench",
    "CopyReport",
    "Edited",
    "FileExaminer",
    "Holdings",
    "LibraryTags",
    "Moodreel",
    "OpenCopy",
    "Pruned",
    "ReelOrder",
    "Replayed",
    "Screening",
    "Show",
    "TriggerDesk",
    "advise_bench",
    "apply_migrations",
    "check_unused",
    "diagnose",
    "has_sound_captioner",
    "list_models",
    "make_reel",
    "migration_status",
    "open_calibration",
    "open_copy",
    "open_encode_server",
    "open_feedback",
    "open_file_examiner",
    "open_moodreel",
    "open_pruner",
    "open_screening",
    "open_tags",
    "open_triggers",
    "plan_bench",
    "print_migrations",
    "pull_model",
    "rehearse",
    "remove_old_databases",
    "resend",
    "restore_backup",
    "run_bench",
    "upgrade_database",
    "verify_model",
    "write_backup",
    "write_migrations",
]
