! Winds of hot stars as Brott et al. (2011, A&A 530, A115) combine them. Off before the zero-age main sequence.

module run_star_extras

   use star_lib
   use star_def
   use const_def
   use math_lib
   use binary_def

   implicit none

   ! To which the recipe of Vink et al. (2001) refers its metallicities.
   real(dp), parameter :: z_sun = 0.017d0
   real(dp), parameter :: half_width_of_jump = 100d0

contains

   subroutine extras_controls(id, ierr)
      integer, intent(in) :: id
      integer, intent(out) :: ierr
      type(star_info), pointer :: s
      call star_ptr(id, s, ierr)
      if (ierr /= 0) return
      s% other_wind => wind
      s% extras_startup => extras_startup
      s% extras_start_step => no_extra_step
      s% extras_check_model => no_extra_step
      s% extras_finish_step => no_extra_step
      s% extras_after_evolve => extras_after_evolve
      s% how_many_extra_history_columns => no_extra_items
      s% how_many_extra_profile_columns => no_extra_items
      s% how_many_extra_history_header_items => no_extra_items
      s% how_many_extra_profile_header_items => no_extra_items
   end subroutine extras_controls

   ! Arguments in cgs; w in solar masses a year.
   subroutine wind(id, Lsurf, Msurf, Rsurf, Tsurf, X, Y, Z, w, ierr)
      integer, intent(in) :: id
      real(dp), intent(in) :: Lsurf, Msurf, Rsurf, Tsurf, X, Y, Z
      real(dp), intent(out) :: w
      integer, intent(out) :: ierr
      type(star_info), pointer :: s
      type(binary_info), pointer :: b
      real(dp) :: log_z
      w = 0d0
      call star_ptr(id, s, ierr)
      if (ierr /= 0) return
      call binary_ptr(s% binary_id, b, ierr)
      if (ierr /= 0) return
      if (b% ignore_rlof_flag) return
      ! The initial metallicity: what burning makes of it drives no more wind.
      log_z = log10(s% x_ctrl(2)/z_sun)
      w = brott_wind(log10(Lsurf/Lsun), log10(Msurf/Msun), log10(Rsurf/Rsun), Tsurf, X, log_z)
   end subroutine wind

   ! log_z is log10 Z/Z_sun.
   real(dp) function brott_wind(log_l, log_m, log_r, teff, x_surface, log_z)
      real(dp), intent(in) :: log_l, log_m, log_r, teff, x_surface, log_z
      real(dp) :: hydrogen_rich
      if (teff < jump_temperature(log_z)) then
         brott_wind = max(vink_wind(log_l, log_m, teff, log_z), nieuwenhuijzen_wind(log_l, log_m, log_r, log_z))
         return
      end if
      ! Between the winds of O stars and a tenth of those of Wolf-Rayet stars, by the hydrogen at the surface.
      hydrogen_rich = min(1d0, max(0d0, (x_surface - 0.4d0)/0.3d0))
      brott_wind = hydrogen_rich*vink_wind(log_l, log_m, teff, log_z) &
                 + (1d0 - hydrogen_rich)*0.1d0*hamann_wind(log_l, x_surface, log_z)
   end function brott_wind

   ! Vink et al. (2001, A&A 369, 574), equations 14 and 15.
   real(dp) function jump_temperature(log_z)
      real(dp), intent(in) :: log_z
      jump_temperature = 1d3*(61.2d0 + 2.59d0*(-13.636d0 + 0.889d0*log_z))
   end function jump_temperature

   ! Vink et al. (2001), equations 24 and 25, joined linearly at the jump. Terminal velocities scale with Z^0.13.
   real(dp) function vink_wind(log_l, log_m, teff, log_z)
      real(dp), intent(in) :: log_l, log_m, teff, log_z
      real(dp) :: hot_part, hot, cool, log_t
      if (teff > 27500d0) then
         hot_part = 1d0
      else if (teff < 22500d0) then
         hot_part = 0d0
      else
         hot_part = 0.5d0*(1d0 + (teff - jump_temperature(log_z))/half_width_of_jump)
         hot_part = min(1d0, max(0d0, hot_part))
      end if
      log_t = log10(teff/4d4)
      hot = -6.697d0 + 2.194d0*(log_l - 5d0) - 1.313d0*(log_m - log10(30d0)) &
          - 1.226d0*(log10(2.6d0/2d0) + 0.13d0*log_z) + 0.933d0*log_t - 10.92d0*log_t*log_t + 0.85d0*log_z
      cool = -6.688d0 + 2.210d0*(log_l - 5d0) - 1.339d0*(log_m - log10(30d0)) &
           - 1.601d0*(log10(1.3d0/2d0) + 0.13d0*log_z) + 1.07d0*log10(teff/2d4) + 0.85d0*log_z
      vink_wind = hot_part*exp10(hot) + (1d0 - hot_part)*exp10(cool)
   end function vink_wind

   ! Nieuwenhuijzen & de Jager (1990, A&A 231, 134), equation 2, with the metallicity of Vink et al.
   real(dp) function nieuwenhuijzen_wind(log_l, log_m, log_r, log_z)
      real(dp), intent(in) :: log_l, log_m, log_r, log_z
      nieuwenhuijzen_wind = exp10(-14.02d0 + 1.24d0*log_l + 0.16d0*log_m + 0.81d0*log_r + 0.85d0*log_z)
   end function nieuwenhuijzen_wind

   ! Hamann et al. (1995, A&A 299, 151), with the metallicity of Vink et al.
   real(dp) function hamann_wind(log_l, x_surface, log_z)
      real(dp), intent(in) :: log_l, x_surface, log_z
      hamann_wind = exp10(-11.95d0 + 1.5d0*log_l - 2.85d0*x_surface + 0.85d0*log_z)
   end function hamann_wind

   subroutine extras_startup(id, restart, ierr)
      integer, intent(in) :: id
      logical, intent(in) :: restart
      integer, intent(out) :: ierr
      ierr = 0
   end subroutine extras_startup

   integer function no_extra_step(id)
      integer, intent(in) :: id
      no_extra_step = keep_going
   end function no_extra_step

   subroutine extras_after_evolve(id, ierr)
      integer, intent(in) :: id
      integer, intent(out) :: ierr
      ierr = 0
   end subroutine extras_after_evolve

   integer function no_extra_items(id)
      integer, intent(in) :: id
      no_extra_items = 0
   end function no_extra_items

end module run_star_extras
