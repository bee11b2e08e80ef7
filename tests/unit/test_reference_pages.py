from tests.support import commands_reference
from tests.support.settings_reference import PAGE, own_fields, render, settings_classes


def test_the_settings_page_says_what_the_code_does():
    assert PAGE.read_text() == render(), "run: python -m tests.support.settings_reference"


def test_the_commands_page_says_what_the_code_does():
    page = commands_reference.PAGE.read_text()
    assert page == commands_reference.render(), "run: python -m tests.support.commands_reference"


def test_every_setting_has_a_name_and_a_description():
    for cls in settings_classes():
        for name, field in cls.model_fields.items():
            assert field.alias, f"{cls.__name__}.{name} has no variable"
            assert field.description, f"{cls.__name__}.{name} has no description"


def test_no_two_settings_share_a_variable():
    seen: dict[str, str] = {}
    for cls in settings_classes():
        for field in own_fields(cls).values():
            assert field.alias is not None
            assert seen.setdefault(field.alias, cls.__name__) == cls.__name__
