"""Plans of MESA grids: values, tables, filled-in inlists, the Slurm array, and the way back."""

import csv
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable

from cbminer.errors import OutputError, SettingsError
from cbminer.theory.grid import read_grid
from cbminer.theory.grid_import import import_runs
from cbminer.theory.plan import make_plan, parse_values, write_plan
from cbminer.theory.plan_templates import (
    PLAN_TEMPLATES,
    RUN_TEMPLATES,
    MesaSettings,
    SlurmSettings,
    fill,
    fortran_number,
    read_templates,
)

# Settings of MESA that its own lists of defaults and declarations have today, by group: only these may be used.
KNOWN = {
    "binary_job": """inlist_names evolve_both_stars change_initial_ignore_rlof_flag new_ignore_rlof_flag
        binary_history_columns_file warn_binary_extra read_extra_binary_job_inlist extra_binary_job_inlist_name""",
    "binary_controls": """m1 m2 initial_period_in_days initial_eccentricity mdot_scheme mass_transfer_alpha
        mass_transfer_beta mass_transfer_delta mass_transfer_gamma limit_retention_by_mdot_edd max_tries_to_achieve
        implicit_scheme_tolerance initial_change_factor min_change_factor max_change_factor change_factor_fraction
        implicit_lambda min_mdot_for_implicit roche_min_mdot accretor_overflow_terminate
        terminate_if_initial_overflow terminate_if_l2_overflow do_jdot_mb do_jdot_ls do_jdot_missing_wind
        do_j_accretion do_tidal_sync do_initial_orbit_sync_1 do_initial_orbit_sync_2 sync_mode_1 sync_mode_2
        sync_type_1 sync_type_2 ftid_1 ftid_2 fr fr_limit fm fm_limit dt_softening_factor varcontrol_ms
        varcontrol_case_a varcontrol_post_ms varcontrol_case_b history_interval terminal_interval photo_interval
        append_to_star_history read_extra_binary_controls_inlist extra_binary_controls_inlist_name""",
    "pgbinary": "",
    "pgstar": "",
    "eos": "",
    "star_job": """show_log_description_at_start pgstar_flag history_columns_file set_uniform_initial_composition
        initial_h1 initial_h2 initial_he3 initial_he4 initial_zfracs relax_initial_z new_z relax_initial_y new_y
        change_initial_net new_net_name change_initial_rotation_flag new_rotation_flag
        set_initial_surface_rotation_v new_surface_rotation_v read_extra_star_job_inlist
        extra_star_job_inlist_name""",
    "kap": """zbase kap_file_prefix kap_co_prefix use_type2_opacities read_extra_kap_inlist extra_kap_inlist_name""",
    "controls": """use_ledoux_criterion mixing_length_alpha alpha_semiconvection thermohaline_coeff
        num_cells_for_smooth_gradl_composition_term overshoot_scheme overshoot_zone_type overshoot_zone_loc
        overshoot_bdy_loc overshoot_f overshoot_f0 d_gsf_factor d_es_factor d_ssi_factor d_dsi_factor d_sh_factor
        d_st_factor d_visc_factor am_nu_sh_factor am_nu_st_factor am_d_mix_factor am_gradmu_factor premix_omega
        use_other_wind surf_avg_tau_min surf_avg_tau max_mdot_redo_cnt min_years_dt_for_redo_mdot
        surf_omega_div_omega_crit_limit surf_omega_div_omega_crit_tol rotational_mdot_boost_fac
        rotational_mdot_kh_fac mdot_revise_factor implicit_mdot_boost max_mdot_jump_for_rotation
        okay_to_reduce_gradt_excess gradt_excess_age_fraction gradt_excess_max_change mesh_delta_coeff max_dq
        min_dq_for_xa solver_iters_timestep_limit delta_hr_limit delta_lg_xh_cntr_max delta_lg_xh_cntr_min
        redo_limit max_number_retries max_model_number xa_central_lower_limit_species xa_central_lower_limit x_ctrl
        history_interval terminal_interval profile_interval log_directory read_extra_controls_inlist
        extra_controls_inlist_name""",
}
# Columns that MESA's own lists of history columns have today.
KNOWN_COLUMNS = {
    "binary_history_columns.list": """model_number age period_days binary_separation rl_1 rl_2
        rl_relative_overflow_1 rl_relative_overflow_2 star_1_radius star_2_radius star_1_mass star_2_mass
        lg_mtransfer_rate lg_wind_mdot_1 lg_wind_mdot_2 J_orb J_total donor_index point_mass_index
        ignore_rlof_flag""",
    "history_columns.list": """model_number star_age log_dt star_mass log_abs_mdot log_Teff log_L log_R log_g
        kh_timescale surf_avg_omega_div_omega_crit""",
}
NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([dDeE][+-]?\d+)?$")
ASSIGNMENT = re.compile(r"^(\w+)(\((\d+)\))?\s*=\s*(.+)$")


def namelists(text):
    """Read Fortran namelists, one assignment a line, with more strictness than Fortran itself has."""
    groups, group = {}, None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("!"):
            continue
        if line.startswith("&"):
            assert group is None, f"line {number}: a group in a group"
            group = line[1:]
            assert group not in groups, f"line {number}: {group} twice"
            groups[group] = {}
        elif line == "/":
            assert group is not None, f"line {number}: the end of no group"
            group = None
        else:
            assert group is not None, f"line {number}: outside of a group"
            match = ASSIGNMENT.match(line)
            assert match, f"line {number}: {line}"
            key = match[1].lower() + (match[2] or "")
            assert key not in groups[group], f"line {number}: {key} twice"
            groups[group][key] = value_of(match[4].strip(), number)
    assert group is None, f"{group} has no end"
    return groups


def value_of(text, number):
    if text in (".true.", ".false."):
        return text == ".true."
    if re.fullmatch(r"'[^']*'", text):
        return text[1:-1]
    assert NUMBER.match(text), f"line {number}: {text} is no value"
    return float(text.lower().replace("d", "e"))


@pytest.fixture(scope="module")
def small_plan():
    return make_plan([26.0, 40.8], [0.7, 1.0], [1.15], mass_is="total")


@pytest.fixture
def plan_folder(small_plan, tmp_path):
    folder = tmp_path / "plan"
    write_plan(small_plan, folder, mesa=MesaSettings.of_cloud("SMC"), command="cbminer grid plan")
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10:40:10", [10, 20, 30, 40]),
        ("0.6:1:0.1", [0.6, 0.7, 0.8, 0.9, 1.0]),
        ("10:41:10", [10, 20, 30, 40]),
        ("0.6, 0.8,1", [0.6, 0.8, 1]),
        ("1:100:3log", [1, 10, 100]),
        ("0.6:1:3lin", [0.6, 0.8, 1]),
        ("5", [5]),
        ("5:5:1", [5]),
    ],
)
def test_values_are_lists_or_ranges_with_both_ends(text, expected):
    values = parse_values(text, name="--masses")
    assert values.tolist() == pytest.approx(expected)
    # A sum of tenths must not leave its traces in the names of folders and in inlists.
    assert all(float(f"{value:.12g}") == value for value in parse_values("0.6:1:0.1", name="q"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10:40", "10:40 is no number"),
        ("a,1", "a is no number"),
        ("1,,2", "nothing is no number"),
        ("", "nothing is no number"),
        ("nan", "nan is no number"),
        ("1,inf", "inf is no number"),
        ("-1", "above 0"),
        ("0:2:1", "above 0"),
        ("2:1:1", "not smaller"),
        ("1:2:0", "step must be above 0"),
        ("1:2:2.5log", "must be whole"),
        ("1:2:1log", "at least 2"),
        ("1,1", "twice"),
        ("1:1e9:1", "more than 10,000"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_the_name_of_their_option(text, said):
    with pytest.raises(SettingsError, match="--masses") as caught:
        parse_values(text, name="--masses")
    assert said in str(caught.value)


def test_a_plan_has_every_combination_and_masses_of_the_kind_that_was_said(small_plan):
    assert len(small_plan) == 4
    assert small_plan["index"].tolist() == [1, 2, 3, 4]
    assert (small_plan["M1"] + small_plan["M2"]).value == pytest.approx([26, 26, 40.8, 40.8])
    assert (small_plan["M2"] / small_plan["M1"]).value == pytest.approx([0.7, 1, 0.7, 1])
    assert small_plan["run"][2] == "m24.000_q0.700_p1.1500"
    primary = make_plan([24.0], [0.7], [1.15], mass_is="primary")
    assert primary["run"][0] == "m24.000_q0.700_p1.1500"
    assert primary["M2"].value == pytest.approx([16.8])


def test_impossible_plans_are_refused():
    with pytest.raises(SettingsError, match=r"mass ratio 1\.2"):
        make_plan([20.0], [0.8, 1.2], [1.0])
    with pytest.raises(SettingsError, match="above 0"):
        make_plan([20.0], [0.8], [-1.0])
    with pytest.raises(SettingsError, match=r"called m20\.000_q0\.800_p1\.0000"):
        make_plan([20.0], [0.8], [1.0, 1.00001], mass_is="primary")
    with pytest.raises(SettingsError, match="split the plan"):
        make_plan(np.arange(1, 101), np.linspace(0.5, 1, 50), np.arange(1, 101))


@pytest.mark.parametrize("value", [13.7, 26 / 1.9, 1e-5, 1e22, 0.0047, 1.0])
def test_numbers_keep_every_digit_in_fortran(value):
    text = fortran_number(value)
    assert NUMBER.match(text)
    assert float(text.replace("d", "e")) == value


def test_every_run_has_filled_in_inlists_that_fortran_can_read_with_settings_that_mesa_has(plan_folder, small_plan):
    folders = sorted(path.name for path in (plan_folder / "runs").iterdir())
    assert folders == sorted(small_plan["run"])
    for row in small_plan:
        folder = plan_folder / "runs" / row["run"]
        assert sorted(path.name for path in folder.iterdir()) == sorted(RUN_TEMPLATES)
        groups = {}
        for path in sorted(folder.glob("inlist*")):
            text = path.read_text()
            assert not re.search(r"@[A-Z]", text)
            groups[path.name] = namelists(text)
            for group, entries in groups[path.name].items():
                unknown = {key.split("(")[0] for key in entries} - set(KNOWN[group].split())
                assert not unknown, f"{path.name}, {group}"
        binary = groups["inlist_project"]["binary_controls"]
        assert binary["m1"] == row["M1"].value
        assert binary["m2"] == row["M2"].value
        assert binary["initial_period_in_days"] == row["period"].value
        assert binary["mdot_scheme"] == "contact"
        star = groups["inlist_star"]
        assert (star["star_job"]["new_z"], star["star_job"]["new_y"]) == (0.0021, 0.2515)
        assert star["kap"]["zbase"] == star["controls"]["x_ctrl(2)"] == 0.0021
        assert [groups[f"inlist{k}"]["controls"]["log_directory"] for k in (1, 2)] == ["LOGS1", "LOGS2"]


def test_files_that_inlists_name_are_beside_them(plan_folder, small_plan):
    folder = plan_folder / "runs" / small_plan["run"][0]
    named = []
    for path in folder.glob("inlist*"):
        for entries in namelists(path.read_text()).values():
            named += [value for key, value in entries.items() if "inlist_name" in key or key.endswith("columns_file")]
    assert set(named) == set(RUN_TEMPLATES) - {"inlist"}


def test_history_columns_are_those_of_mesa_and_of_the_import(plan_folder, small_plan):
    folder = plan_folder / "runs" / small_plan["run"][0]
    for name, known in KNOWN_COLUMNS.items():
        lines = [line.split("!")[0].split() for line in (folder / name).read_text().splitlines()]
        words = [line for line in lines if line]
        assert {line[0] for line in words if len(line) == 1} == set(known.split())
        # A mass fraction is written as where and what.
        assert {tuple(line) for line in words if len(line) == 2} <= {
            (where, what) for where in ("center", "surface") for what in ("h1", "he4")
        }


def test_the_published_settings_are_in_the_templates():
    # Of Menon et al. (2021), in the names of today.
    star = namelists(fill("inlist_star", read_templates()["inlist_star"], _values(MesaSettings())))
    controls = star["controls"]
    expected = {
        "use_ledoux_criterion": True,
        "mixing_length_alpha": 1.5,
        "alpha_semiconvection": 1.0,
        "thermohaline_coeff": 1.0,
        "overshoot_scheme(1)": "step",
        "overshoot_f(1)": 0.345,
        "overshoot_f0(1)": 0.01,
        "d_gsf_factor": 1.0,
        "d_es_factor": 1.0,
        "d_ssi_factor": 1.0,
        "d_dsi_factor": 1.0,
        "am_nu_st_factor": 1.0,
        "am_d_mix_factor": 0.033,
        "am_gradmu_factor": 0.1,
        "use_other_wind": True,
    }
    assert {name: controls[name] for name in expected} == expected
    assert star["star_job"]["new_z"] == 0.0047
    # Hydrogen of their LMC models.
    assert 1 - star["star_job"]["new_z"] - star["star_job"]["new_y"] == pytest.approx(0.7391, abs=1e-4)


def _values(mesa):
    return {
        name.upper(): fortran_number(value) if isinstance(value, float) else str(value)
        for name, value in mesa.model_dump().items()
    }


def test_the_hooks_hold_the_published_formula_of_l2_and_the_codes_of_the_import():
    hook = read_templates()["src/run_binary_extras.f90"]
    assert "0.29858997d0*atan(1.83530121d0*pow(mass_ratio, 0.39661426d0))" in hook
    codes = dict(re.findall(r"integer, parameter :: (\w+) = (-?\d+)", hook))
    assert {name: codes[name] for name in ("end_of_main_sequence", "l2_overflow_at_zams", "l2_overflow")} == {
        "end_of_main_sequence": "1",
        "l2_overflow_at_zams": "2",
        "l2_overflow": "3",
    }


def test_the_plan_is_a_table_with_units_and_all_that_was_chosen(plan_folder, small_plan):
    table = QTable.read(plan_folder / "plan.ecsv")
    assert table["M1"].unit == "solMass"
    assert table["period"].unit == "d"
    assert table["M1"].value.tolist() == small_plan["M1"].value.tolist()
    assert table.meta["mesa"]["Z"] == 0.0021
    assert table.meta["command"] == "cbminer grid plan"


def test_own_templates_replace_those_of_the_package_and_a_wrong_placeholder_is_named(small_plan, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(SettingsError, match="holds none of"):
        write_plan(small_plan, tmp_path / "plan", templates=own)
    (own / "inlist_project").write_text("&binary_controls\nm1 = @M1@\nm2 = @M3@\n/\n")
    with pytest.raises(SettingsError, match="inlist_project, line 3: @M3@") as caught:
        write_plan(small_plan, tmp_path / "plan", templates=own)
    assert "PERIOD" in str(caught.value)
    assert not (tmp_path / "plan").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    (own / "inlist_project").write_text("&binary_controls\nm1 = @M1@\n/\n")
    write_plan(small_plan, tmp_path / "plan", templates=own)
    folder = tmp_path / "plan" / "runs" / small_plan["run"][0]
    assert set(namelists((folder / "inlist_project").read_text())["binary_controls"]) == {"m1"}
    assert (folder / "inlist_star").is_file()


def test_a_plan_is_never_written_over_anything(plan_folder, small_plan):
    with pytest.raises(OutputError, match="not empty"):
        write_plan(small_plan, plan_folder)
    with pytest.raises(SettingsError, match="no hydrogen"):
        write_plan(small_plan, plan_folder.parent / "other", mesa=MesaSettings(Z=0.01, helium=0.995))
    with pytest.raises(SettingsError, match="without runs"):
        write_plan(small_plan[:0], plan_folder.parent / "other")


@pytest.mark.parametrize("name", [name for name in PLAN_TEMPLATES if name.endswith(".sh")])
def test_scripts_are_good_bash(plan_folder, name):
    path = plan_folder / name
    assert os.access(path, os.X_OK)
    assert not re.search(r"@[A-Z]", path.read_text())
    subprocess.run(["bash", "-n", path], check=True)


def run_task(folder, task, **environment):
    return subprocess.run(
        ["bash", folder / "run_array.sh"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "MESA_DIR": str(folder),
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_ARRAY_TASK_ID": str(task),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def fake_binary(plan_folder):
    """A program in place of MESA: it notes where it runs and how, leaves photos, and fails where it is told to."""
    binary = plan_folder / "work" / "binary"
    binary.parent.mkdir()
    binary.write_text(
        "#!/bin/bash\n"
        'echo "$PWD $OMP_NUM_THREADS $(cat .restart 2>/dev/null)" >> "$MESA_DIR/calls"\n'
        "test -f inlist_project || exit 3\n"
        "touch -d 2020-01-02 photos/b_x100\n"
        "touch -d 2020-01-01 photos/b_x950\n"
        "if [ -e fail ]; then exit 1; fi\n"
    )
    binary.chmod(0o755)
    return binary


def calls_of(folder):
    lines = (folder / "calls").read_text().splitlines()
    return [(Path(words[0]).name, *words[1:]) for words in map(str.split, lines)]


@pytest.mark.skipif(shutil.which("flock") is None, reason="the script needs flock of util-linux")
def test_the_array_runs_every_folder_once_and_takes_up_what_was_cut_off(plan_folder, small_plan, fake_binary):
    names = list(small_plan["run"])
    (plan_folder / "runs" / names[1] / "fail").touch()
    results = [run_task(plan_folder, task, SLURM_CPUS_PER_TASK="7") for task in range(1, 5)]
    assert calls_of(plan_folder) == [(name, "7") for name in names]
    assert [result.returncode for result in results] == [0, 1, 0, 0]
    assert f"{names[1]}: failed" in results[1].stderr
    assert (plan_folder / "runs" / names[0] / "finished").exists()
    # Again, as after a time limit: only the one that did not finish runs, from its latest photo.
    (plan_folder / "runs" / names[1] / "fail").unlink()
    (plan_folder / "calls").unlink()
    again = [run_task(plan_folder, task) for task in range(1, 5)]
    assert [result.returncode for result in again] == [0, 0, 0, 0]
    assert calls_of(plan_folder) == [(names[1], "4", "x100")]
    assert "finished before" in again[0].stdout


@pytest.mark.skipif(shutil.which("flock") is None, reason="the script needs flock of util-linux")
def test_fewer_tasks_than_runs_share_them(small_plan, tmp_path):
    folder = tmp_path / "plan"
    write_plan(small_plan, folder, slurm=SlurmSettings(max_tasks=3, max_jobs=2, mesa_dir="/opt/my mesa"))
    script = (folder / "run_array.sh").read_text()
    assert "#SBATCH --array=1-3%2\n" in script
    assert "export MESA_DIR='/opt/my mesa'\n" in script
    binary = tmp_path / "binary"
    binary.write_text('#!/bin/bash\necho "$PWD" >> "$CALLS"\n')
    binary.chmod(0o755)
    environment = {"CBMINER_BINARY": str(binary), "CALLS": str(folder / "calls")}
    for task in (1, 2, 3):
        assert run_task(folder, task, **environment).returncode == 0
    names = list(small_plan["run"])
    assert [call[0] for call in calls_of(folder)] == [names[0], names[3], names[1], names[2]]


def test_the_array_says_what_is_missing(plan_folder, tmp_path):
    assert "run build.sh first" in run_task(plan_folder, 1).stderr
    elsewhere = run_task(plan_folder, 1, SLURM_SUBMIT_DIR=str(tmp_path))
    assert elsewhere.returncode == 2
    assert "plan.ecsv" in elsewhere.stderr
    assert "MESA_DIR" in run_task(plan_folder, 1, MESA_DIR="").stderr


def test_finished_runs_of_a_plan_import_back(shared_data, tmp_path):
    plan = make_plan([24.0], [0.7], [1.15, 2.0], mass_is="primary")
    folder = tmp_path / "plan"
    write_plan(plan, folder)
    finished = folder / "runs" / plan["run"][0]
    case = shared_data / "mesa" / "fabry2024" / "cases" / "24.0" / "1.15" / "0.7" / "ET"
    for logs in ("LOGS1", "LOGS2"):
        (finished / logs).mkdir()
        shutil.copy(case / logs / "history.data", finished / logs / "history.data")
    report = import_runs(folder / "runs", tmp_path / "grid", jobs=1)
    assert report.n_runs == 1
    assert [item.run for item in report.skipped] == [plan["run"][1]]
    grid = read_grid(tmp_path / "grid")
    run = grid.runs[0]
    assert run["run"] == "m24.000_q0.700_p1.1500"
    # The plan's own values, and the metallicity that its inlists say.
    assert float(run["M1_initial"].value) == 24.0
    assert float(run["M2_initial"].value) == pytest.approx(16.8)
    assert float(run["period_initial"].value) == pytest.approx(1.15)
    assert float(run["Z"]) == pytest.approx(0.0047)
    assert run["end"] == "L2 overflow"


def test_the_table_of_a_plan_is_what_the_script_reads(plan_folder, small_plan):
    lines = [line for line in (plan_folder / "plan.ecsv").read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.reader(lines))
    assert rows[0][:2] == ["index", "run"]
    assert [row[1] for row in rows[1:]] == list(small_plan["run"])
