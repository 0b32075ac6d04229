! What the inlists cannot say of a binary: mass transfer begins on the zero-age main sequence, and the reasons to stop.
! Conditions and numbers are those of Menon et al. (2021, MNRAS 507, 5013); ../README.md lists them.

module run_binary_extras

   use star_lib
   use star_def
   use const_def
   use math_lib
   use binary_def
   use binary_lib

   implicit none

   ! Places in b% lxtra and b% ixtra, which MESA keeps in its photos.
   integer, parameter :: overflow_at_zams = 1
   integer, parameter :: overflow_ever = 2
   integer, parameter :: end_reason = 1

   ! Codes of the column stopping_condition. 1 to 5 and -99 are those of the published grids of Fabry et al. (2025).
   integer, parameter :: still_running = 0
   integer, parameter :: end_of_main_sequence = 1
   integer, parameter :: l2_overflow_at_zams = 2
   integer, parameter :: l2_overflow = 3
   integer, parameter :: no_interaction = 4
   integer, parameter :: limit_of_transfer_rate = 5
   integer, parameter :: unstable_orbit = 6
   integer, parameter :: never_at_zams = -99

   real(dp), parameter :: zams_tolerance = 0.005d0
   real(dp), parameter :: zams_min_age = 1d2
   integer, parameter :: zams_max_models = 1000
   ! A pair that overfills its lobes from the start runs to equal masses; faster than this the solver loses it.
   real(dp), parameter :: transfer_rate_from_zams = 1d-3
   real(dp), parameter :: least_mass_ratio = 0.151d0

contains

   subroutine extras_binary_controls(binary_id, ierr)
      integer :: binary_id
      integer, intent(out) :: ierr
      type(binary_info), pointer :: b
      call binary_ptr(binary_id, b, ierr)
      if (ierr /= 0) return
      b% extras_binary_startup => extras_binary_startup
      b% extras_binary_start_step => extras_binary_start_step
      b% extras_binary_check_model => extras_binary_check_model
      b% extras_binary_finish_step => extras_binary_finish_step
      b% extras_binary_after_evolve => extras_binary_after_evolve
      b% how_many_extra_binary_history_header_items => no_header_items
      b% data_for_extra_binary_history_header_items => no_header_data
      b% how_many_extra_binary_history_columns => number_of_columns
      b% data_for_extra_binary_history_columns => columns
      b% warn_binary_extra = .false.
   end subroutine extras_binary_controls

   integer function extras_binary_startup(binary_id, restart, ierr)
      integer, intent(in) :: binary_id
      logical, intent(in) :: restart
      integer, intent(out) :: ierr
      type(binary_info), pointer :: b
      extras_binary_startup = keep_going
      call binary_ptr(binary_id, b, ierr)
      if (ierr /= 0) return
      if (restart) return
      b% lxtra(overflow_at_zams) = .false.
      b% lxtra(overflow_ever) = .false.
      b% ixtra(end_reason) = still_running
   end function extras_binary_startup

   integer function extras_binary_start_step(binary_id, ierr)
      integer, intent(in) :: binary_id
      integer, intent(out) :: ierr
      type(binary_info), pointer :: b
      extras_binary_start_step = keep_going
      call binary_ptr(binary_id, b, ierr)
      if (ierr /= 0) return
      ! Set at every step, since a restart reads the inlist again.
      b% terminate_if_L2_overflow = .not. b% ignore_rlof_flag
      if (b% lxtra(overflow_at_zams)) b% max_implicit_abs_mdot = transfer_rate_from_zams
   end function extras_binary_start_step

   integer function extras_binary_check_model(binary_id)
      integer, intent(in) :: binary_id
      extras_binary_check_model = keep_going
   end function extras_binary_check_model

   integer function extras_binary_finish_step(binary_id)
      integer, intent(in) :: binary_id
      type(binary_info), pointer :: b
      integer :: ierr
      extras_binary_finish_step = keep_going
      call binary_ptr(binary_id, b, ierr)
      if (ierr /= 0) return
      if (b% ignore_rlof_flag) then
         call wait_for_zams(b, binary_id, ierr)
         if (ierr /= 0) extras_binary_finish_step = terminate
      else
         call look_for_end(b)
      end if
      if (b% ixtra(end_reason) /= still_running) extras_binary_finish_step = terminate
   end function extras_binary_finish_step

   ! Keep the period while star 1 settles; then let mass flow, unless the pair is beyond L2 or the Darwin limit.
   subroutine wait_for_zams(b, binary_id, ierr)
      type(binary_info), pointer :: b
      integer, intent(in) :: binary_id
      integer, intent(out) :: ierr
      ierr = 0
      if (.not. in_equilibrium(b% s1)) then
         if (b% model_number > zams_max_models) b% ixtra(end_reason) = never_at_zams
         call binary_set_period_eccentricity(binary_id, b% initial_period_in_days*secday, 0d0, ierr)
         return
      end if
      if (beyond_l2(b)) then
         b% ixtra(end_reason) = l2_overflow_at_zams
      else if (darwin_unstable(b)) then
         b% ixtra(end_reason) = unstable_orbit
      end if
      b% lxtra(overflow_at_zams) = any(b% rl_relative_gap > 0d0)
      call binary_set_ignore_rlof_flag(binary_id, .false., ierr)
   end subroutine wait_for_zams

   subroutine look_for_end(b)
      type(binary_info), pointer :: b
      if (any(b% rl_relative_gap >= 0d0)) b% lxtra(overflow_ever) = .true.
      if (abs(b% mtransfer_rate) >= b% s1% x_ctrl(1)*Msun/secyer) then
         b% ixtra(end_reason) = limit_of_transfer_rate
      else if (b% rl_relative_gap(1) > -1d-2 .and. b% m(2)/b% m(1) < least_mass_ratio) then
         b% ixtra(end_reason) = unstable_orbit
      end if
   end subroutine look_for_end

   logical function in_equilibrium(s)
      type(star_info), pointer :: s
      real(dp) :: ratio
      ratio = abs(s% L_nuc_burn_total*Lsun/s% L(1))
      in_equilibrium = abs(safe_log10(ratio)) < zams_tolerance .and. s% star_age > zams_min_age
   end function in_equilibrium

   ! The same test as that of the control terminate_if_L2_overflow, on the star of lower mass.
   logical function beyond_l2(b)
      type(binary_info), pointer :: b
      real(dp) :: mass_ratio
      integer :: lighter
      lighter = merge(2, 1, b% m(1) > b% m(2))
      mass_ratio = b% m(lighter)/b% m(3 - lighter)
      beyond_l2 = b% rl_relative_gap(lighter) > 0.29858997d0*atan(1.83530121d0*pow(mass_ratio, 0.39661426d0))
   end function beyond_l2

   ! a^2 < 3 (J1/omega1 + J2/omega2) / mu: the orbit cannot keep both stars synchronous.
   logical function darwin_unstable(b)
      type(binary_info), pointer :: b
      real(dp) :: inertia, reduced_mass
      inertia = b% s1% total_angular_momentum/b% s1% omega_avg_surf &
              + b% s2% total_angular_momentum/b% s2% omega_avg_surf
      reduced_mass = b% m(1)*b% m(2)/(b% m(1) + b% m(2))
      darwin_unstable = b% separation*b% separation < 3d0*inertia/reduced_mass
   end function darwin_unstable

   integer function number_of_columns(binary_id)
      integer, intent(in) :: binary_id
      number_of_columns = 2
   end function number_of_columns

   ! `cbminer grid import` leaves out models before the main sequence, and takes the end of the run from the last model.
   subroutine columns(binary_id, n, names, vals, ierr)
      integer, intent(in) :: binary_id, n
      character(len=maxlen_binary_history_column_name) :: names(n)
      real(dp) :: vals(n)
      integer, intent(out) :: ierr
      type(binary_info), pointer :: b
      call binary_ptr(binary_id, b, ierr)
      if (ierr /= 0) return
      names(1) = 'pre_zams'
      vals(1) = merge(1d0, 0d0, b% ignore_rlof_flag)
      names(2) = 'stopping_condition'
      vals(2) = dble(stopping_condition(b))
   end subroutine columns

   integer function stopping_condition(b)
      type(binary_info), pointer :: b
      stopping_condition = b% ixtra(end_reason)
      if (stopping_condition /= still_running .or. b% ignore_rlof_flag) return
      ! MESA ends the run for these itself.
      if (beyond_l2(b)) then
         stopping_condition = l2_overflow
      else if (out_of_hydrogen(b% s1) .or. out_of_hydrogen(b% s2)) then
         stopping_condition = merge(end_of_main_sequence, no_interaction, b% lxtra(overflow_ever))
      end if
   end function stopping_condition

   logical function out_of_hydrogen(s)
      type(star_info), pointer :: s
      out_of_hydrogen = s% center_h1 <= s% xa_central_lower_limit(1)
   end function out_of_hydrogen

   subroutine extras_binary_after_evolve(binary_id, ierr)
      integer, intent(in) :: binary_id
      integer, intent(out) :: ierr
      ierr = 0
   end subroutine extras_binary_after_evolve

   integer function no_header_items(binary_id)
      integer, intent(in) :: binary_id
      no_header_items = 0
   end function no_header_items

   subroutine no_header_data(binary_id, n, names, vals, ierr)
      integer, intent(in) :: binary_id, n
      character(len=maxlen_binary_history_column_name) :: names(n)
      real(dp) :: vals(n)
      integer, intent(out) :: ierr
      ierr = 0
   end subroutine no_header_data

end module run_binary_extras
